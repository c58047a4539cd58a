//! The functions are there when a program is linked, and do what they say.

use std::ffi::{CStr, CString};
use std::ptr;

use sdrun_sys as sys;

#[test]
fn names() {
    let valid = |name: &CStr| {
        // SAFETY: the functions read a string that ends in zero, and keep nothing.
        unsafe {
            (
                sys::sd_bus_interface_name_is_valid(name.as_ptr()) != 0,
                sys::sd_bus_service_name_is_valid(name.as_ptr()) != 0,
                sys::sd_bus_member_name_is_valid(name.as_ptr()) != 0,
                sys::sd_bus_object_path_is_valid(name.as_ptr()) != 0,
            )
        }
    };
    assert_eq!(valid(c"org.freedesktop.systemd1"), (true, true, false, false));
    assert_eq!(valid(c":1.1"), (false, true, false, false));
    assert_eq!(valid(c"Subscribe"), (false, false, true, false));
    assert_eq!(valid(c"/org/freedesktop/systemd1"), (false, false, false, true));
    let long = CString::new(format!("a.{}", "b".repeat(sys::SD_BUS_MAXIMUM_NAME_LENGTH)));
    assert_eq!(valid(&long.expect("no zero")), (false, false, false, false));
}

#[test]
fn an_identifier_is_passed_by_value() {
    let id = sys::sd_id128_t::from(0x0102_0304_0506_0708_090a_0b0c_0d0e_0f10);
    let mut text = [0; sys::SD_ID128_STRING_MAX];
    let mut read = sys::sd_id128_t::default();
    // SAFETY: the buffer has the size that the function asks for, and ends in zero afterwards.
    let back = unsafe {
        let text = sys::sd_id128_to_string(id, text.as_mut_ptr());
        assert_eq!(CStr::from_ptr(text), c"0102030405060708090a0b0c0d0e0f10");
        sys::sd_id128_from_string(text, &mut read)
    };
    assert_eq!(back, 0);
    assert_eq!(read, id);
}

#[test]
fn an_error_moves() {
    let empty = || sys::sd_bus_error { name: ptr::null(), message: ptr::null(), need_free: 0 };
    let (mut from, mut to) = (empty(), empty());
    // SAFETY: both errors are initialized, what is set is constant, and both are freed.
    unsafe {
        let name = sys::SD_BUS_ERROR_NO_REPLY.as_ptr();
        assert!(sys::sd_bus_error_set_const(&mut from, name, c"late".as_ptr()) < 0);
        assert!(sys::sd_bus_error_move(&mut to, &mut from) < 0);
        assert!(from.name.is_null());
        assert_eq!(CStr::from_ptr(to.name), sys::SD_BUS_ERROR_NO_REPLY);
        sys::sd_bus_error_free(&mut from);
        sys::sd_bus_error_free(&mut to);
    }
}
