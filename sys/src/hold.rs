//! Processes that are held when everything but their program is there, until whoever starts them lets them go. Like
//! [`terminal`](crate::terminal) this is nothing of libsystemd's, but Linux in safe functions.

use std::ffi::CString;
use std::io;
use std::os::fd::{AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::os::unix::net::UnixStream;
use std::os::unix::process::CommandExt;
use std::process::Command;
use std::ptr;

use libc::{c_char, c_int, gid_t, uid_t};

/// What a process is to be and to run, for [`Hold::install`].
#[derive(Debug, Clone, Default)]
#[allow(missing_docs)]
pub struct Program {
    pub path: CString,
    /// The first is the program's name.
    pub arguments: Vec<CString>,
    /// `NAME=VALUE`, but for `INVOCATION_ID`, which is known when the process is let go.
    pub environment: Vec<CString>,
    pub nice: Option<c_int>,
    /// Supplementary groups.
    pub groups: Option<Vec<gid_t>>,
    pub group: Option<gid_t>,
    pub user: Option<uid_t>,
    pub directory: Option<CString>,
}

/// What a process says before its program runs: [`Word::SIZE`] bytes each.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Word {
    /// All is done but the program; it waits to be let go. Its process ID.
    Held(u32),
    /// It was let go, and goes on to its program.
    Going,
    /// This failed; the error is that of the spawn.
    Failed(Step),
}

/// What a process does before it is held.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[allow(missing_docs)]
pub enum Step {
    Nice,
    Groups,
    Group,
    User,
    Directory,
}

const STEPS: [Step; 5] = [Step::Nice, Step::Groups, Step::Group, Step::User, Step::Directory];

impl Word {
    /// How many bytes a word has.
    pub const SIZE: usize = 5;
    const HELD: u8 = 0;
    const GOING: u8 = 1;
    const FAILED: u8 = 2;

    /// A word that was read.
    pub fn parse(bytes: [u8; Word::SIZE]) -> Option<Self> {
        let [kind, rest @ ..] = bytes;
        let number = u32::from_ne_bytes(rest);
        match kind {
            Word::HELD => Some(Word::Held(number)),
            Word::GOING => Some(Word::Going),
            Word::FAILED => STEPS.get(usize::try_from(number).ok()?).copied().map(Word::Failed),
            _ => None,
        }
    }

    fn bytes(self) -> [u8; Word::SIZE] {
        let (kind, number) = match self {
            Word::Held(process) => (Word::HELD, process),
            Word::Going => (Word::GOING, 0),
            Word::Failed(step) => (Word::FAILED, step as u32),
        };
        let [a, b, c, d] = number.to_ne_bytes();
        [kind, a, b, c, d]
    }
}

/// How many bytes let a process go: the ID for its `$INVOCATION_ID`, or zeroes where that is not known.
pub const GO: usize = 16;

/// The end of the process that is to be held.
#[derive(Debug)]
pub struct Hold {
    socket: UnixStream,
}

/// In ms: how often a process that is held looks whether it has still its parent.
const TURN: c_int = 1000;

/// Two connected ends: one for the process, and that from which its [`Word`]s are read and to which [`GO`] bytes are
/// written to let it go. Shutting that one down (`shutdown(2)`; to close it is not enough, for there are copies of it)
/// has the process end, and the spawn fail with ECANCELED: at once where fewer than [`GO`] bytes, one at least, were
/// written before, and else, as when its parent has ended, within two seconds. That is for a process of which someone was
/// told: who does something about it then finds it alive.
pub fn pair() -> io::Result<(UnixStream, Hold)> {
    let (ours, theirs) = UnixStream::pair()?;
    Ok((ours, Hold { socket: theirs }))
}

impl Hold {
    /// Has the process of this command be held, so that the spawn does not return before it was let go.
    ///
    /// With a program, that is what it becomes, whatever the command says of program, arguments and environment. Without,
    /// it is the command's.
    ///
    /// While it is held it has copies of all descriptors of this process that are open at the time.
    pub fn install(self, command: &mut Command, program: Option<Program>) {
        let parent = std::process::id();
        let mut image = program.map(Image::new);
        let before_exec = move || {
            let socket = self.socket.as_raw_fd();
            if let Some(image) = &image {
                image.program.become_it().map_err(|(step, error)| {
                    // What cannot be said is not known.
                    let _ = say(socket, Word::Failed(step));
                    error
                })?;
            }
            let id = wait(socket, parent)?;
            match &mut image {
                Some(image) => Err(image.execute(id)),
                None => Ok(()),
            }
        };
        // SAFETY: between fork and exec only async-signal-safe functions may be called (signal-safety(7)). These are
        // system calls, and what std itself calls there: execvpe, and setgroups and its like, whose lock (they change all
        // threads) the C library has made free again in the fork. Nothing else takes a lock, allocates or panics.
        unsafe { command.pre_exec(before_exec) };
    }
}

fn check(result: c_int) -> io::Result<c_int> {
    if result < 0 { Err(io::Error::last_os_error()) } else { Ok(result) }
}

impl Program {
    fn become_it(&self) -> Result<(), (Step, io::Error)> {
        let at = |step: Step| move |error| (step, error);
        if let Some(nice) = self.nice {
            // SAFETY: numbers.
            check(unsafe { libc::setpriority(libc::PRIO_PROCESS, 0, nice) }).map_err(at(Step::Nice))?;
        }
        if let Some(groups) = &self.groups {
            // SAFETY: as many numbers as it says.
            check(unsafe { libc::setgroups(groups.len() as _, groups.as_ptr()) }).map_err(at(Step::Groups))?;
        }
        if let Some(group) = self.group {
            // SAFETY: numbers.
            check(unsafe { libc::setresgid(group, group, group) }).map_err(at(Step::Group))?;
        }
        if let Some(user) = self.user {
            // SAFETY: numbers.
            check(unsafe { libc::setresuid(user, user, user) }).map_err(at(Step::User))?;
        }
        if let Some(directory) = &self.directory {
            // SAFETY: a string that lives.
            check(unsafe { libc::chdir(directory.as_ptr()) }).map_err(at(Step::Directory))?;
        }
        Ok(())
    }
}

/// Waits to be let go.
fn wait(socket: c_int, parent: u32) -> io::Result<[u8; GO]> {
    let given_up = || io::Error::from_raw_os_error(libc::ECANCELED);
    // Signals that come now are for the program, to which the handlers of this one mean nothing: exec too resets them.
    for signal in 1..=64 {
        // SAFETY: places for what is read, and what was read; a number that is no signal's is refused.
        unsafe {
            let mut action: libc::sigaction = std::mem::zeroed();
            let known = libc::sigaction(signal, ptr::null(), &mut action) == 0;
            if known && action.sa_sigaction != libc::SIG_IGN && action.sa_sigaction != libc::SIG_DFL {
                action = std::mem::zeroed();
                libc::sigaction(signal, &action, ptr::null_mut());
            }
        }
    }
    // In a new PID namespace the number would mean another process to others.
    // SAFETY: no argument.
    if u32::try_from(unsafe { libc::getppid() }) != Ok(parent) {
        return Err(given_up());
    }
    // SAFETY: no argument.
    say(socket, Word::Held(unsafe { libc::getpid() } as u32))?;
    let mut id = [0; GO];
    let mut got = 0;
    let mut orphaned = 0;
    while let Some(rest) = id.get_mut(got..).filter(|rest| !rest.is_empty()) {
        let mut asked = libc::pollfd { fd: socket, events: libc::POLLIN, revents: 0 };
        // SAFETY: a place for one answer. Its failure shows below.
        if unsafe { libc::poll(&mut asked, 1, TURN) } == 0 {
            // An end of the parent closes nothing that others have copies of, so the end of file alone would not do.
            // SAFETY: no argument.
            if u32::try_from(unsafe { libc::getppid() }) != Ok(parent) {
                orphaned += 1;
                if orphaned == 2 {
                    return Err(given_up());
                }
            }
            continue;
        }
        // SAFETY: a place for as many bytes as it says.
        let read = unsafe { libc::recv(socket, rest.as_mut_ptr().cast(), rest.len(), 0) };
        match usize::try_from(read) {
            Ok(0) => {
                if got == 0 {
                    // SAFETY: no places, and a number.
                    unsafe { libc::poll(ptr::null_mut(), 0, 2 * TURN) };
                }
                return Err(given_up());
            }
            Ok(read) => got += read,
            Err(_) => {
                let error = io::Error::last_os_error();
                if error.raw_os_error() != Some(libc::EINTR) {
                    return Err(error);
                }
            }
        }
    }
    say(socket, Word::Going)?;
    Ok(id)
}

fn say(socket: c_int, word: Word) -> io::Result<()> {
    let bytes = word.bytes();
    // SAFETY: as many bytes as it says. A few bytes go into an empty socket at once.
    let sent = unsafe { libc::send(socket, bytes.as_ptr().cast(), bytes.len(), libc::MSG_NOSIGNAL) };
    if sent < 0 { Err(io::Error::last_os_error()) } else { Ok(()) }
}

/// A program as execve(2) takes it, made before the fork: after it nothing may be allocated.
struct Image {
    program: Program,
    /// These point into `program`, and end with a null pointer.
    argv: Vec<*const c_char>,
    /// The last but the null pointer is `invocation`.
    envp: Vec<*const c_char>,
    /// `INVOCATION_ID=…`, made by `CString::into_raw`.
    invocation: *mut c_char,
}

const INVOCATION: &str = "INVOCATION_ID=";

// SAFETY: the pointers are to memory that is this value's own.
unsafe impl Send for Image {}
// SAFETY: nothing is written through `&self`.
unsafe impl Sync for Image {}

impl Image {
    fn new(program: Program) -> Self {
        let pointers = |words: &[CString]| words.iter().map(|word| word.as_ptr()).collect::<Vec<_>>();
        let text = format!("{INVOCATION}{:0>width$}", "", width = 2 * GO);
        let invocation = CString::new(text).expect("holds no NUL byte").into_raw();
        let mut argv = pointers(&program.arguments);
        argv.push(ptr::null());
        let mut envp = pointers(&program.environment);
        envp.extend([invocation.cast_const(), ptr::null()]);
        Image { program, argv, envp, invocation }
    }

    /// Becomes the program; or says why not.
    fn execute(&mut self, id: [u8; GO]) -> io::Error {
        const DIGITS: &[u8; 16] = b"0123456789abcdef";
        if id == [0; GO] {
            let last = self.envp.len().saturating_sub(2);
            if let Some(last) = self.envp.get_mut(last) {
                *last = ptr::null();
            }
        }
        for (at, byte) in id.into_iter().enumerate() {
            let (high, low) = (DIGITS[usize::from(byte >> 4)], DIGITS[usize::from(byte & 15)]);
            // SAFETY: within the text that `new` made, which has two digits for each byte.
            unsafe {
                let digits = self.invocation.add(INVOCATION.len() + 2 * at);
                digits.write(high as c_char);
                digits.add(1).write(low as c_char);
            }
        }
        // SAFETY: a string, and lists of strings that end with a null pointer, all of them this value's own.
        unsafe { libc::execvpe(self.program.path.as_ptr(), self.argv.as_ptr(), self.envp.as_ptr()) };
        io::Error::last_os_error()
    }
}

impl Drop for Image {
    fn drop(&mut self) {
        // SAFETY: made by `CString::into_raw`, its length unchanged.
        drop(unsafe { CString::from_raw(self.invocation) });
    }
}

/// A descriptor of a process, which becomes readable when that has ended. `pidfd_open(2)`, Linux 5.3.
///
/// # Errors
///
/// ESRCH when there is no such process, ENOSYS on an older Linux.
pub fn open_process(process: u32) -> io::Result<OwnedFd> {
    let process = libc::pid_t::try_from(process).map_err(|_| io::Error::from_raw_os_error(libc::ESRCH))?;
    // SAFETY: numbers.
    let fd = check(unsafe { libc::syscall(libc::SYS_pidfd_open, process, 0) } as c_int)?;
    // SAFETY: a new descriptor that nobody else knows of.
    Ok(unsafe { OwnedFd::from_raw_fd(fd) })
}

/// Sends a process a signal. `pidfd_send_signal(2)`, Linux 5.1.
///
/// # Errors
///
/// ESRCH when its parent has waited for it.
pub fn kill_process(process: BorrowedFd<'_>, signal: c_int) -> io::Result<()> {
    let no_info = ptr::null::<libc::siginfo_t>();
    // SAFETY: an open descriptor and numbers; what is sent is as by kill(2).
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, process.as_raw_fd(), signal, no_info, 0) } as c_int)?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_are_read_as_they_are_said() {
        for word in [Word::Held(u32::MAX), Word::Held(1), Word::Going].into_iter().chain(STEPS.map(Word::Failed)) {
            assert_eq!(Word::parse(word.bytes()), Some(word));
        }
        assert_eq!(Word::parse([Word::FAILED, 9, 9, 9, 9]), None);
        assert_eq!(Word::parse([7, 0, 0, 0, 0]), None);
    }
}
