//! Leaving the namespaces, or making new ones in which the sandbox's rules do not hold.

use crate::confined;

const CALLS: &str = "
import ctypes, os, platform
libc = ctypes.CDLL(None, use_errno=True)
numbers = {
    'x86_64': dict(unshare=272, setns=308, mount=165, umount=166, pivot_root=155, chroot=161, clone=56, clone3=435,
                   open_tree=428, move_mount=429, fsopen=430, mount_setattr=442),
    'aarch64': dict(unshare=97, setns=268, mount=40, umount=39, pivot_root=41, chroot=51, clone=220, clone3=435,
                    open_tree=428, move_mount=429, fsopen=430, mount_setattr=442),
}[platform.machine()]
NEW = {'user': 0x10000000, 'net': 0x40000000, 'mount': 0x20000, 'pid': 0x20000000, 'all': 0x7e020000}
def call(what, name, *args):
    if libc.syscall(numbers[name], *args) >= 0:
        print('LEFT', what)
for name, flag in NEW.items():
    call('unshare ' + name, 'unshare', flag)
    if libc.syscall(numbers['clone'], flag | 17, 0, 0, 0, 0) == 0:
        os._exit(0)
for pid in ['1', 'self', str(os.getppid())]:
    for kind in ['net', 'mnt', 'user', 'pid']:
        try:
            fd = os.open(f'/proc/{pid}/ns/{kind}', os.O_RDONLY)
        except OSError:
            continue
        call(f'setns {pid} {kind}', 'setns', fd, 0)
call('mount', 'mount', b'none', b'/tmp', b'tmpfs', 0, 0)
call('umount /etc', 'umount', b'/etc', 2)
call('umount /run', 'umount', b'/run', 2)
call('chroot', 'chroot', b'/proc/1/root')
call('pivot_root', 'pivot_root', b'.', b'.')
call('open_tree', 'open_tree', -100, b'/', 1)
call('fsopen', 'fsopen', b'tmpfs', 0)
call('clone3', 'clone3', ctypes.create_string_buffer(64), 64)
status = open('/proc/self/status').read()
for line in status.splitlines():
    if line.startswith('Cap') and int(line.split()[1], 16):
        print('LEFT', line)
if 'NoNewPrivs:\\t1' not in status or 'Seccomp:\\t2' not in status:
    print('LEFT', status)
print('interfaces', sorted(l.split(':')[0].strip() for l in open('/proc/net/dev').readlines()[2:]))
";

#[tokio::test(flavor = "multi_thread")]
async fn are_not_left() {
    let (confined, _) = confined().await;
    let outside = confined.python_outside(CALLS, &[]).await;
    assert!(outside.stdout.contains("LEFT unshare"), "the attack itself does not work: {outside:?}");
    let inside = confined.python(CALLS, &[]).await;
    assert_eq!(inside.stdout.trim(), "interfaces ['lo']", "{inside:?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn are_not_left_by_the_tools_for_it() {
    let (confined, _) = confined().await;
    for command in [
        &["unshare", "--user", "--map-root-user", "--net", "true"][..],
        &["unshare", "--mount", "true"],
        &["nsenter", "--target", "1", "--net", "true"],
        &["nsenter", "--target", "1", "--all", "true"],
    ] {
        let inside = confined.run(command).await;
        assert_ne!(inside.code, 0, "{command:?}: {inside:?}");
        assert_ne!(inside.code, 127, "{command:?}: {inside:?}");
    }
}
