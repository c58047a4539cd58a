//! The least for a unit with pipes, and for a child in a scope.

use std::ffi::{CStr, CString, c_int};
use std::os::fd::{AsRawFd, OwnedFd};
use std::ptr;
use std::time::{Duration, Instant};

use nix::libc;
use nix::unistd::pipe2;
use sdrun_sys::*;

use super::super::Result;
use super::Floor;

/// A child that the least client has put into a scope.
pub struct Enclosed {
    pub pid: libc::pid_t,
    /// From the call to when the manager had said that it is done: what no client can save.
    pub manager: Duration,
}

impl Floor {
    /// Starts one unit with these as its outputs, and returns when the manager has reported its end.
    pub fn run_with_outputs(&mut self, [stdout, stderr]: [OwnedFd; 2]) -> Result<()> {
        self.expect(1);
        let name = self.next_name()?;
        self.start(&name, |message| {
            let outputs = [
                (c"StandardOutputFileDescriptor".as_ptr(), stdout.as_raw_fd()),
                (c"StandardErrorFileDescriptor".as_ptr(), stderr.as_raw_fd()),
            ];
            for (property, fd) in outputs {
                // SAFETY: a message of which an array of properties is open; a constant string and an open descriptor,
                // which is duplicated.
                unsafe { sd_bus_message_append(message, c"(sv)".as_ptr(), property, c"h".as_ptr(), fd) };
            }
        })?;
        // What is not written yet is in the message, and has duplicates.
        drop((stdout, stderr));
        self.until_ended()
    }

    /// Forks a child that waits, has it put into a scope, and lets it become the program, with this standard output.
    pub fn scope(&mut self, program: &CStr, output: &OwnedFd) -> Result<Enclosed> {
        let name = CString::new(format!("{}{}.scope", self.label, self.units))?;
        self.units += 1;
        let (held, release) = pipe2(nix::fcntl::OFlag::O_CLOEXEC)?;
        let argv = [program.as_ptr(), ptr::null()];
        // SAFETY: the child calls only what is async-signal-safe (signal-safety(7)), on what was made before.
        let pid = unsafe { libc::fork() };
        if pid == 0 {
            // SAFETY: as above: open descriptors, a place for a byte, a list of strings that ends with a null pointer.
            unsafe {
                libc::close(release.as_raw_fd());
                libc::dup2(output.as_raw_fd(), 1);
                let mut byte = 0u8;
                if libc::read(held.as_raw_fd(), (&raw mut byte).cast(), 1) == 1 {
                    libc::execv(program.as_ptr(), argv.as_ptr());
                }
                libc::_exit(127);
            }
        }
        if pid < 0 {
            return Err(std::io::Error::last_os_error().into());
        }
        drop(held);
        let begun = Instant::now();
        *self.state.scope.borrow_mut() = name.clone();
        self.expect(0);
        self.send(&name, |message| {
            let one: c_int = 1;
            let (pids, kind) = (c"PIDs".as_ptr(), c"au".as_ptr());
            // SAFETY: a message of which an array of properties is open; constant strings, and what the signature says.
            unsafe { sd_bus_message_append(message, c"(sv)".as_ptr(), pids, kind, one, pid as u32) };
        })?;
        let enclosed = self.until_ended();
        let manager = begun.elapsed();
        *self.state.scope.borrow_mut() = CString::default();
        enclosed?;
        nix::unistd::write(&release, &[1])?;
        Ok(Enclosed { pid, manager })
    }
}

impl Enclosed {
    /// Waits for the child's end.
    pub fn reap(self) -> Result<()> {
        let mut status: c_int = 0;
        // SAFETY: a child of ours, and a place for its status.
        let reaped = unsafe { libc::waitpid(self.pid, &mut status, 0) };
        if reaped == self.pid && status == 0 { Ok(()) } else { Err(format!("the child: {status:#x}").into()) }
    }
}
