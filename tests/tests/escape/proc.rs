//! `/proc` as a way to change the machine, other processes, or what confines oneself.

use crate::confined;

const WRITE: &str = "
import os
def wrote(path, data):
    try:
        with open(path, 'r+b', 0) as f:
            f.write(data)
        print('WROTE', path)
    except OSError:
        pass
wrote('/proc/sys/kernel/hostname', b'attacker')
wrote('/proc/sys/kernel/core_pattern', b'|/tmp/x')
wrote('/proc/sys/net/ipv4/ip_forward', b'1')
wrote('/proc/sys/net/ipv4/ip_unprivileged_port_start', b'1024')
wrote('/proc/sys/net/ipv4/conf/all/route_localnet', b'1')
wrote('/proc/sysrq-trigger', b'h')
wrote('/proc/self/uid_map', b'0 0 4294967295')
wrote('/proc/self/gid_map', b'0 0 4294967295')
wrote('/proc/self/setgroups', b'allow')
wrote('/proc/1/mem', b'x')
wrote(f'/proc/{os.getppid()}/mem', b'x')
for path in ['/proc/1/root/etc/hostname', '/proc/1/cwd/.', '/proc/1/environ', '/proc/1/maps'] + [f'/proc/1/fd/{n}' for n in range(64)]:
    try:
        content = os.readlink(path) if '/fd/' in path else open(path, 'rb').read()
        print('SAW', path, len(content))
    except OSError:
        pass
print('done')
";

#[tokio::test(flavor = "multi_thread")]
async fn changes_nothing() {
    let (confined, _) = confined().await;
    let inside = confined.python(WRITE, &[]).await;
    assert_eq!(inside.stdout.trim(), "done", "{inside:?}");
}
