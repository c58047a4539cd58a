//! Every declaration, ours and libsystemd-sys's, is what the installed headers say.
//!
//! The Rust source is parsed and written again as a C file that asserts, for each function,
//! callback type and constant, that the header's has the same type or value. The C compiler
//! is the judge. Declarations newer than the headers are left out.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::mem::{align_of, offset_of, size_of};
use std::path::{Path, PathBuf};
use std::process::Command;
use std::{env, fs};

use sdrun_sys as sys;
use syn::{
    Attribute, Expr, FnArg, ForeignItem, GenericArgument, Item, Lit, Meta, PathArguments, PointerMutability,
    ReturnType, Type, UnOp, Visibility,
};

/// Headers, in C, that the declarations come from.
const INCLUDES: &str = "\
#include <inttypes.h>
#include <stddef.h>
#include <stdio.h>
#include <sys/signalfd.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <systemd/sd-bus.h>
#include <systemd/sd-daemon.h>
#include <systemd/sd-event.h>
#include <systemd/sd-id128.h>
#include <systemd/sd-journal.h>
#include <systemd/sd-login.h>
";

/// What a declaration says, in C.
enum Meaning {
    /// The type of a pointer to the function.
    Function(String),
    /// The type that the name stands for.
    Type(String),
    Number(String),
    /// A C string literal.
    Text(String),
}

struct Declaration {
    meaning: Meaning,
    /// The libsystemd that the item is gated on.
    gate: u32,
    docs: String,
}

/// Declarations by name.
type Declarations = BTreeMap<String, Declaration>;

/// The installed libsystemd, as pkg-config knows it.
struct Installed {
    version: u32,
    include: Vec<PathBuf>,
    library: PathBuf,
}

impl Installed {
    fn find() -> Self {
        let found = pkg_config::Config::new()
            .cargo_metadata(false)
            .env_metadata(false)
            .probe("libsystemd")
            .expect("pkg-config finds libsystemd");
        let digits = found.version.split(|c: char| !c.is_ascii_digit()).next();
        Self {
            version: digits.and_then(|digits| digits.parse().ok()).expect("a version begins with a number"),
            library: (found.link_paths.iter().map(|path| path.join("libsystemd.so")))
                .find(|path| path.exists())
                .expect("libsystemd.so is where pkg-config says"),
            include: found.include_paths,
        }
    }
}

#[test]
fn declarations_are_those_of_the_headers() {
    let installed = Installed::find();
    let (ours, theirs) = (ours(), theirs());
    assert!(ours.len() > 100 && theirs.len() > 400, "little was parsed");

    let mut c = String::from(INCLUDES);
    for (name, declaration) in &theirs {
        if !ours.contains_key(name) {
            assert_of(&mut c, name, declaration);
        }
    }
    for (name, declaration) in &ours {
        if declaration.gate.max(in_headers(&declaration.docs)) <= installed.version {
            assert_of(&mut c, name, declaration);
        }
    }
    layouts(&mut c);
    if let Err(message) = compile(&c, "declarations", &installed) {
        panic!("not what the headers of {} say:\n{message}", installed.version);
    }
}

/// The test above can fail: each of these is wrong in one way.
#[test]
fn a_wrong_declaration_is_found() {
    let wrong = r#"
        unsafe extern "C" {
            pub fn sd_bus_new(ret: *mut sd_bus) -> c_int;
            pub fn sd_bus_is_open(bus: *const sd_bus) -> c_int;
            pub fn sd_bus_set_address(bus: *mut sd_bus, address: *mut c_char) -> c_int;
            pub fn sd_bus_close(bus: *mut sd_bus) -> c_int;
            pub fn sd_bus_can_send(bus: *mut sd_bus, typ: u8) -> c_int;
            pub fn sd_bus_get_fd(bus: *mut sd_bus) -> i64;
            pub fn sd_bus_flush(bus: *mut sd_bus, more: c_int) -> c_int;
            pub fn sd_bus_message_append(m: *mut sd_bus_message, types: *const c_char) -> c_int;
            pub fn sd_bus_wait(bus: *mut sd_bus, timeout_usec: i64) -> c_int;
            pub fn sd_bus_no_such_function(bus: *mut sd_bus) -> c_int;
        }
        pub type sd_bus_track_handler_t =
            Option<unsafe extern "C" fn(track: *mut sd_bus_track) -> c_int>;
        pub const SD_BUS_TYPE_BYTE: c_char = b'Y' as c_char;
        pub const SD_JOURNAL_LOCAL_ONLY: c_int = 1 << 1;
        pub const SD_BUS_ERROR_FAILED: &CStr = c"org.freedesktop.DBus.Error.failed";
    "#;
    let mut declarations = Declarations::new();
    read(&syn::parse_file(wrong).expect("Rust").items, &mut declarations);
    assert_eq!(declarations.len(), 14);

    let installed = Installed::find();
    for (name, declaration) in &declarations {
        let mut c = String::from(INCLUDES);
        assert_of(&mut c, name, declaration);
        let message = compile(&c, name, &installed).expect_err(name);
        assert!(message.contains(name.as_str()), "{name}: {message}");
    }
}

/// "Since" in the documentation is the symbol version of the library, and the gate follows from it.
#[test]
fn gates_are_those_of_the_library() {
    let installed = Installed::find();
    let symbols = symbols(&installed.library);
    let theirs = theirs();
    for (name, declaration) in &ours() {
        let Meaning::Function(pointer) = &declaration.meaning else {
            continue;
        };
        let since = number_after(&declaration.docs, "Since ")
            .unwrap_or_else(|| panic!("{name}: no \"Since\" in {:?}", declaration.docs));
        let gate = if since > oldest() { since } else { 0 };
        assert_eq!(declaration.gate, gate, "{name} is gated, since {since}");
        assert_eq!(
            symbols.get(name.as_str()).copied(),
            (since <= installed.version).then_some(since),
            "{name}: the library of {}, the documentation",
            installed.version
        );
        assert!(declaration.docs.contains("(3)"), "{name}: its manual page is not named");
        let corrects = declaration.docs.contains("libsystemd-sys");
        let identifier = pointer.contains("sd_id128_t");
        if theirs.contains_key(name) {
            assert!(corrects || identifier, "{name}: what is wrong with libsystemd-sys's?");
        } else {
            assert!(!corrects, "{name}: libsystemd-sys does not have it");
        }
    }
    for (name, declaration) in &theirs {
        if matches!(declaration.meaning, Meaning::Function(_)) {
            let since = symbols.get(name.as_str());
            assert!(since.is_some_and(|since| *since <= oldest()), "{name} came with {since:?}");
        }
    }
}

/// Adds the assertion that `name` means what `declaration` says.
fn assert_of(c: &mut String, name: &str, declaration: &Declaration) {
    let condition = match &declaration.meaning {
        Meaning::Function(pointer) => {
            format!("__builtin_types_compatible_p(__typeof__(&{name}), {pointer})")
        }
        Meaning::Type(same) => format!("__builtin_types_compatible_p({name}, {same})"),
        Meaning::Number(value) => format!("{name} == {value}"),
        Meaning::Text(literal) => format!("__builtin_strcmp({name}, {literal}) == 0"),
    };
    writeln!(c, "_Static_assert({condition}, \"{name}\");").expect("a String");
}

/// Adds assertions on the structures that are passed through pointers or by value.
fn layouts(c: &mut String) {
    let mut size = |name: &str, size: usize, align: usize| {
        writeln!(c, "_Static_assert(sizeof({name}) == {size}, \"{name}\");").expect("a String");
        writeln!(c, "_Static_assert(_Alignof({name}) == {align}, \"{name}\");").expect("a String");
    };
    size("sd_bus_error", size_of::<sys::sd_bus_error>(), align_of::<sys::sd_bus_error>());
    size("sd_bus_error_map", size_of::<sys::sd_bus_error_map>(), align_of::<sys::sd_bus_error_map>());
    size("sd_id128_t", size_of::<sys::sd_id128_t>(), align_of::<sys::sd_id128_t>());
    size("struct iovec", size_of::<sys::const_iovec>(), align_of::<sys::const_iovec>());
    for (field, offset) in [
        ("sd_bus_error, name", offset_of!(sys::sd_bus_error, name)),
        ("sd_bus_error, message", offset_of!(sys::sd_bus_error, message)),
        ("sd_bus_error, _need_free", offset_of!(sys::sd_bus_error, need_free)),
        ("sd_bus_error_map, name", offset_of!(sys::sd_bus_error_map, name)),
        ("sd_bus_error_map, code", offset_of!(sys::sd_bus_error_map, code)),
        ("sd_id128_t, bytes", offset_of!(sys::sd_id128_t, bytes)),
        ("struct iovec, iov_base", offset_of!(sys::const_iovec, iov_base)),
        ("struct iovec, iov_len", offset_of!(sys::const_iovec, iov_len)),
    ] {
        writeln!(c, "_Static_assert(offsetof({field}) == {offset}, \"{field}\");").expect("a String");
    }
}

/// Compiles `c` against the installed headers; what the compiler says when it does not.
fn compile(c: &str, name: &str, installed: &Installed) -> Result<(), String> {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR"));
    let source = folder.join(format!("{name}.c"));
    fs::write(&source, c).expect("write the C file");
    let output = Command::new(env::var_os("CC").unwrap_or_else(|| "cc".into()))
        .args(["-std=gnu11", "-Wall", "-Werror", "-Wno-deprecated-declarations", "-c", "-o"])
        .arg(folder.join(format!("{name}.o")))
        .args(installed.include.iter().map(|path| format!("-I{}", path.display())))
        .arg(&source)
        .output()
        .expect("a C compiler");
    if output.status.success() { Ok(()) } else { Err(String::from_utf8_lossy(&output.stderr).into_owned()) }
}

/// The functions that a library exports, with the libsystemd that brought each.
fn symbols(library: &Path) -> BTreeMap<String, u32> {
    let output = Command::new("nm")
        .args(["--dynamic", "--defined-only", "--with-symbol-versions"])
        .arg(library)
        .output()
        .expect("nm, of binutils");
    let listing = String::from_utf8_lossy(&output.stdout);
    let symbols: BTreeMap<_, _> = listing
        .lines()
        .filter_map(|line| line.split_whitespace().nth(2)?.split_once("@@LIBSYSTEMD_"))
        .map(|(name, version)| (name.to_owned(), version.parse().expect("a number")))
        .collect();
    assert!(!symbols.is_empty(), "{}: no versioned symbols", library.display());
    symbols
}

/// What this crate declares.
fn ours() -> Declarations {
    declarations(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"))
}

/// What libsystemd-sys declares.
fn theirs() -> Declarations {
    declarations(&libsystemd_sys().join("src"))
}

/// Where cargo keeps the source of libsystemd-sys.
fn libsystemd_sys() -> PathBuf {
    let rustc = env::var_os("RUSTC").unwrap_or_else(|| "rustc".into());
    let about = Command::new(rustc).arg("-vV").output().expect("rustc").stdout;
    let about = String::from_utf8(about).expect("UTF-8");
    let host = about.lines().find_map(|line| line.strip_prefix("host: ")).expect("rustc -vV");
    let output = Command::new(env::var_os("CARGO").unwrap_or_else(|| "cargo".into()))
        .args(["metadata", "--format-version=1", "--offline", "--filter-platform", host])
        .arg("--manifest-path")
        .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("Cargo.toml"))
        .output()
        .expect("cargo");
    let json = String::from_utf8_lossy(&output.stdout);
    json.split("\"manifest_path\":\"")
        .filter_map(|rest| Path::new(rest.split('"').next()?).parent())
        .find(|folder| {
            let name = folder.file_name().unwrap_or_default().to_string_lossy();
            name.starts_with("libsystemd-sys")
        })
        .unwrap_or_else(|| panic!("cargo metadata: {}", String::from_utf8_lossy(&output.stderr)))
        .to_owned()
}

/// Our own modules of safe functions, which declare nothing of the headers: those that lib.rs makes public.
fn is_safe_module(path: &Path) -> bool {
    let stem = path.file_stem().unwrap_or_default().to_string_lossy();
    path.starts_with(concat!(env!("CARGO_MANIFEST_DIR"), "/src"))
        && include_str!("../src/lib.rs").contains(&format!("\npub mod {stem};"))
}

/// What the Rust files in `folder` declare.
fn declarations(folder: &Path) -> Declarations {
    let mut all = Declarations::new();
    for entry in fs::read_dir(folder).expect("a folder of source") {
        let path = entry.expect("an entry").path();
        if is_safe_module(&path) {
            continue;
        } else if path.is_dir() {
            all.append(&mut declarations(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            let text = fs::read_to_string(&path).expect("a source file");
            let file = syn::parse_file(&text).expect("Rust source");
            read(&file.items, &mut all);
        }
    }
    all
}

/// Adds what `items` declare, but for what cfgs leave out.
fn read(items: &[Item], all: &mut Declarations) {
    let mut add = |name: &syn::Ident, attributes: &[&[Attribute]], meaning| {
        let attributes = attributes.concat();
        if let Some(gate) = gate(&attributes) {
            let docs = docs(&attributes);
            let declaration = Declaration { meaning, gate, docs };
            let twice = all.insert(name.to_string(), declaration);
            assert!(twice.is_none(), "{name} is declared twice");
        }
    };
    for item in items {
        match item {
            Item::ForeignMod(block) => {
                for item in &block.items {
                    let ForeignItem::Fn(function) = item else { panic!("something other than a function is declared") };
                    let signature = &function.sig;
                    let arguments = signature.inputs.iter().map(|argument| match argument {
                        FnArg::Typed(argument) => c_type(&argument.ty),
                        FnArg::Receiver(_) => panic!("self"),
                    });
                    let pointer = c_pointer(arguments, signature.variadic.is_some(), &signature.output);
                    add(&signature.ident, &[&block.attrs, &function.attrs], Meaning::Function(pointer));
                }
            }
            // sd_destroy_t is libsystemd-sys's name for the header's _sd_destroy_t.
            Item::Type(alias) if alias.ident != "sd_destroy_t" => {
                add(&alias.ident, &[&alias.attrs], Meaning::Type(c_type(&alias.ty)));
            }
            Item::Const(constant) if matches!(constant.vis, Visibility::Public(_)) => {
                add(&constant.ident, &[&constant.attrs], c_value(&constant.expr));
            }
            _ => {}
        }
    }
}

/// The libsystemd that attributes ask for, 0 when they ask for none; `None` when the item is
/// not compiled at all.
fn gate(attributes: &[Attribute]) -> Option<u32> {
    let mut gate = 0;
    for attribute in attributes.iter().filter(|a| a.path().is_ident("cfg")) {
        match attribute.parse_args::<Meta>().expect("a cfg") {
            Meta::Path(path) => {
                let name = path.require_ident().expect("a name").to_string();
                gate = number_after(&name, "libsystemd_").expect("libsystemd_VERSION");
            }
            Meta::NameValue(pair) if pair.path.is_ident("feature") => {
                if number_after(&string(&pair.value), "systemd_v").is_some_and(|v| v > feature()) {
                    return None;
                }
            }
            _ => panic!("a cfg that this test does not know"),
        }
    }
    Some(gate)
}

/// The documentation of an item.
fn docs(attributes: &[Attribute]) -> String {
    let mut text = String::new();
    for attribute in attributes.iter().filter(|a| a.path().is_ident("doc")) {
        let line = attribute.meta.require_name_value().expect("a line of documentation");
        text.push_str(string(&line.value).trim());
        text.push(' ');
    }
    text
}

/// The version that the documentation of a constant without a gate gives for the headers.
fn in_headers(docs: &str) -> u32 {
    number_after(docs, "In the headers of ").unwrap_or(0)
}

/// The text of a string literal.
fn string(literal: &Expr) -> String {
    match literal {
        Expr::Lit(literal) => match &literal.lit {
            Lit::Str(text) => text.value(),
            _ => panic!("not a string"),
        },
        _ => panic!("not a literal"),
    }
}

/// The oldest libsystemd that build.rs accepts.
fn oldest() -> u32 {
    number_after(include_str!("../build.rs"), "OLDEST: u32 = ").expect("in build.rs")
}

/// The newest version feature of libsystemd-sys that Cargo.toml asks for.
fn feature() -> u32 {
    number_after(include_str!("../Cargo.toml"), "[\"systemd_v").expect("in Cargo.toml")
}

/// The number that follows `before` in `text`.
fn number_after(text: &str, before: &str) -> Option<u32> {
    let rest = &text[text.find(before)? + before.len()..];
    rest.split(|c: char| !c.is_ascii_digit()).next()?.parse().ok()
}

/// A pointer to a function, in C.
fn c_pointer(arguments: impl Iterator<Item = String>, variadic: bool, output: &ReturnType) -> String {
    let mut arguments: Vec<_> = arguments.collect();
    if variadic {
        arguments.push("...".into());
    }
    if arguments.is_empty() {
        arguments.push("void".into());
    }
    let output = match output {
        ReturnType::Default => "void".into(),
        ReturnType::Type(_, output) => c_type(output),
    };
    format!("{output} (*)({})", arguments.join(", "))
}

/// A type, in C.
fn c_type(rust: &Type) -> String {
    match rust {
        Type::Ptr(pointer) => {
            let constant = match pointer.mutability {
                PointerMutability::Const(_) => " const",
                PointerMutability::Mut(_) => "",
            };
            format!("{}{constant} *", c_type(&pointer.elem))
        }
        Type::FnPtr(function) => {
            let arguments = function.inputs.iter().map(|argument| c_type(&argument.ty));
            c_pointer(arguments, function.variadic.is_some(), &function.output)
        }
        Type::Path(path) => {
            let last = path.path.segments.last().expect("a path");
            let name = last.ident.to_string();
            if name == "Option" {
                let PathArguments::AngleBracketed(arguments) = &last.arguments else { panic!("Option of nothing") };
                let Some(GenericArgument::Type(inner)) = arguments.args.first() else { panic!("Option of nothing") };
                return c_type(inner);
            }
            match name.as_str() {
                "c_char" => "char",
                "c_int" => "int",
                "c_uint" => "unsigned",
                "c_void" => "void",
                "i8" => "int8_t",
                "u8" => "uint8_t",
                "i16" => "int16_t",
                "u16" => "uint16_t",
                "i32" => "int32_t",
                "u32" => "uint32_t",
                "i64" => "int64_t",
                "u64" => "uint64_t",
                "iovec" | "const_iovec" => "struct iovec",
                "signalfd_siginfo" => "struct signalfd_siginfo",
                "sd_destroy_t" => "_sd_destroy_t",
                "FILE" | "clockid_t" | "gid_t" | "pid_t" | "siginfo_t" | "size_t" | "uid_t" => &name,
                _ if name.starts_with("sd_") => &name,
                _ => panic!("{name} has no counterpart in C here"),
            }
            .to_owned()
        }
        _ => panic!("a type that this test does not know"),
    }
}

/// The value of a constant, in C.
fn c_value(rust: &Expr) -> Meaning {
    match rust {
        Expr::Lit(literal) => match &literal.lit {
            Lit::CStr(text) => Meaning::Text(format!("{:?}", text.value().to_str().expect("UTF-8"))),
            Lit::Int(number) => Meaning::Number(number.base10_digits().to_owned()),
            Lit::Byte(byte) => Meaning::Number(byte.value().to_string()),
            _ => panic!("a literal that this test does not know"),
        },
        Expr::Cast(cast) => c_value(&cast.expr),
        Expr::Unary(unary) if matches!(unary.op, UnOp::Neg(_)) => {
            Meaning::Number(format!("-{}", c_number(&unary.expr)))
        }
        Expr::Binary(binary) if matches!(binary.op, syn::BinOp::Shl(_)) => {
            Meaning::Number(format!("(UINT64_C({}) << {})", c_number(&binary.left), c_number(&binary.right)))
        }
        _ => panic!("an expression that this test does not know"),
    }
}

/// A number, in C.
fn c_number(rust: &Expr) -> String {
    match c_value(rust) {
        Meaning::Number(number) => number,
        _ => panic!("not a number"),
    }
}
