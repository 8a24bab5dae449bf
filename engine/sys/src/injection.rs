//! A system call made by a thread of another process, as who may ptrace it can: for tests that attack a gateway in this
//! way. Not part of a gateway.

use std::io;

/// Attempts to find the thread waiting in a system call.
const ATTEMPTS: u32 = 50;
/// `0f 05`, the instruction that enters the kernel.
const SYSCALL: u16 = 0x050f;

/// Lets thread `thread` (an id in /proc/PID/task) make system call `number`; what that returned, or its error.
///
/// # Errors
/// Of the outer level: the thread cannot be traced (no right, no such thread).
pub fn call(thread: u32, number: i64, arguments: [u64; 6]) -> io::Result<io::Result<u64>> {
    let thread = libc::pid_t::try_from(thread).map_err(io::Error::other)?;
    for _ in 0..ATTEMPTS {
        let traced = Traced::attach(thread)?;
        let saved = traced.registers()?;
        // Stopped in a system call, the instruction that entered the kernel is right before the next one.
        let at = saved.rip.wrapping_sub(2);
        if traced.peek(at).is_ok_and(|word| word as u16 == SYSCALL) {
            return traced.call_at(at, saved, number, arguments);
        }
        drop(traced);
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    Err(io::Error::other("the thread was never found in a system call"))
}

/// A stopped thread; goes on when this is dropped.
struct Traced(libc::pid_t);

impl Traced {
    fn attach(thread: libc::pid_t) -> io::Result<Self> {
        // JUSTIFICATION: ptrace(2) has no safe interface.
        // SAFETY: attaching takes no pointers.
        checked(unsafe { libc::ptrace(libc::PTRACE_ATTACH, thread, 0, 0) })?;
        let traced = Self(thread);
        traced.wait()?;
        Ok(traced)
    }

    fn wait(&self) -> io::Result<()> {
        let mut status = 0;
        // JUSTIFICATION: waiting for a traced thread has no safe interface.
        // SAFETY: `status` outlives the call.
        let waited = unsafe { libc::waitpid(self.0, &raw mut status, libc::__WALL) };
        checked(waited.into())?;
        if libc::WIFSTOPPED(status) { Ok(()) } else { Err(io::Error::other("the thread ended")) }
    }

    fn registers(&self) -> io::Result<libc::user_regs_struct> {
        let mut registers = std::mem::MaybeUninit::<libc::user_regs_struct>::uninit();
        // JUSTIFICATION: as above.
        // SAFETY: the kernel writes one such struct, all of it where it reports success.
        unsafe {
            checked(libc::ptrace(libc::PTRACE_GETREGS, self.0, 0, registers.as_mut_ptr()))?;
            Ok(registers.assume_init())
        }
    }

    fn set(&self, registers: &libc::user_regs_struct) -> io::Result<()> {
        // JUSTIFICATION: as above.
        // SAFETY: the kernel reads one such struct.
        checked(unsafe { libc::ptrace(libc::PTRACE_SETREGS, self.0, 0, std::ptr::from_ref(registers)) }).map(drop)
    }

    fn peek(&self, at: u64) -> io::Result<i64> {
        // JUSTIFICATION: as above.
        // SAFETY: the address is one of the other process; the C library gives the word as the result.
        checked(unsafe { libc::ptrace(libc::PTRACE_PEEKTEXT, self.0, at, 0) })
    }

    fn call_at(
        &self,
        at: u64,
        saved: libc::user_regs_struct,
        number: i64,
        arguments: [u64; 6],
    ) -> io::Result<io::Result<u64>> {
        let [rdi, rsi, rdx, r10, r8, r9] = arguments;
        let rax = number.cast_unsigned();
        // Not in a system call any more: the kernel is not to make the interrupted one again just now.
        let orig_rax = u64::MAX;
        self.set(&libc::user_regs_struct { rip: at, rax, orig_rax, rdi, rsi, rdx, r10, r8, r9, ..saved })?;
        // JUSTIFICATION: as above.
        // SAFETY: stepping takes no pointers.
        checked(unsafe { libc::ptrace(libc::PTRACE_SINGLESTEP, self.0, 0, 0) })?;
        self.wait()?;
        let result = self.registers()?.rax.cast_signed();
        // With these the interrupted system call goes on.
        self.set(&saved)?;
        let error = i32::try_from(-result).ok().filter(|error| (1..4_096).contains(error));
        Ok(error.map_or(Ok(result.cast_unsigned()), |error| Err(io::Error::from_raw_os_error(error))))
    }
}

impl Drop for Traced {
    fn drop(&mut self) {
        // JUSTIFICATION: as above.
        // SAFETY: detaching takes no pointers.
        unsafe { libc::ptrace(libc::PTRACE_DETACH, self.0, 0, 0) };
    }
}

fn checked(result: i64) -> io::Result<i64> {
    if result == -1 { Err(io::Error::last_os_error()) } else { Ok(result) }
}
