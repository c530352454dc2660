//! Getting at the process that holds the way out.

use crate::confined;

const TRACE: &str = "
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
libc.ptrace.restype = ctypes.c_long
mine = os.getpid()
for pid in sorted(int(p) for p in os.listdir('/proc') if p.isdigit()) + [int(a) for a in sys.argv[1:]]:
    if pid == mine:
        continue
    for request in (16, 0x4206):
        if libc.ptrace(request, pid, 0, 0) == 0:
            print('TRACED', pid)
    buffer = ctypes.create_string_buffer(8)
    class Vec(ctypes.Structure):
        _fields_ = [('base', ctypes.c_void_p), ('len', ctypes.c_size_t)]
    vec = Vec(ctypes.cast(buffer, ctypes.c_void_p), 8)
    if libc.process_vm_readv(pid, ctypes.byref(vec), 1, ctypes.byref(vec), 1, 0) > 0:
        print('READ', pid)
    pidfd = libc.syscall(434, pid, 0)
    if pidfd >= 0:
        for fd in range(64):
            if libc.syscall(438, pidfd, fd, 0) >= 0:
                print('TOOK', pid, fd)
print('pids', len([p for p in os.listdir('/proc') if p.isdigit()]))
";

#[tokio::test(flavor = "multi_thread")]
async fn reads_and_takes_nothing() {
    let (confined, _) = confined().await;
    let own = std::process::id().to_string();
    let inside = confined.python(TRACE, &[&own]).await;
    let pids = inside.stdout.trim().strip_prefix("pids ").and_then(|count| count.parse::<usize>().ok());
    // Itself and the sandbox's first process; nothing of this machine.
    assert!(pids.is_some_and(|pids| pids <= 3), "{inside:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn kills_nothing_outside() {
    const KILL: &str = "
import os, signal
signal.signal(signal.SIGTERM, signal.SIG_IGN)
for pid in (-1, 1, os.getppid()):
    for number in (signal.SIGTERM, signal.SIGKILL):
        if pid == -1 and number == signal.SIGKILL:
            continue
        try:
            os.kill(pid, number)
        except OSError:
            pass
print('still here')
";
    let (confined, _) = confined().await;
    let mut bystander = std::process::Command::new("sleep").arg("60").spawn().unwrap();
    let inside = confined.python(KILL, &[]).await;
    assert!(inside.stdout.contains("still here") && inside.code == 0, "{inside:?}");
    assert_eq!(bystander.try_wait().unwrap(), None, "it lives");
    bystander.kill().unwrap();
    bystander.wait().unwrap();
}
