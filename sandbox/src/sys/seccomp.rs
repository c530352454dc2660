//! Which system calls a command has. Everything but a list: what opens other ways to the network, makes namespaces or
//! mounts, reaches into other processes, or is a large part of the kernel that no ordinary program needs.
//!
//! Refused with an error, which programs expect of an older kernel, rather than killed. A list of what is allowed would
//! be shorter to reason about, but would break with every new libc; the network is closed by the namespace in any case,
//! and this filter is there so that nobody gets out of the namespace.

use std::collections::BTreeMap;

use libc::c_long;
use seccompiler::{
    BpfProgram, SeccompAction, SeccompCmpArgLen as Length, SeccompCmpOp as Op, SeccompCondition, SeccompFilter,
    SeccompRule, TargetArch, apply_filter, sock_filter,
};

use crate::error::SandboxError;

type Rules = BTreeMap<i64, Vec<SeccompRule>>;
type Built<T> = Result<T, seccompiler::BackendError>;

/// Installs the filters, for this process and all that it starts, for good. Sets `no_new_privs`.
pub(crate) fn install() -> Result<(), SandboxError> {
    let failed = |reason: String| SandboxError::Confine { what: "the system call filter".to_owned(), reason };
    for program in programs().map_err(|error| failed(error.to_string()))? {
        apply_filter(&program).map_err(|error| failed(error.to_string()))?;
    }
    Ok(())
}

/// A filter says one error, so there is one for each. Of what several say, the kernel takes the strictest.
fn programs() -> Built<Vec<BpfProgram>> {
    let mut programs = vec![
        program(always(FORBIDDEN).chain(arguments()?).collect(), libc::EPERM)?,
        program(always(ABSENT).collect(), libc::ENOSYS)?,
        program(families()?, libc::EAFNOSUPPORT)?,
        program(protocols()?, libc::EPROTONOSUPPORT)?,
    ];
    if cfg!(target_arch = "x86_64") {
        programs.push(no_x32());
    }
    Ok(programs)
}

/// `EPERM`: as if one were not allowed, which one is not.
const FORBIDDEN: &[c_long] = &[
    libc::SYS_unshare,
    libc::SYS_setns,
    libc::SYS_mount,
    libc::SYS_umount2,
    libc::SYS_pivot_root,
    libc::SYS_chroot,
    libc::SYS_open_tree,
    libc::SYS_move_mount,
    libc::SYS_fsopen,
    libc::SYS_fsconfig,
    libc::SYS_fsmount,
    libc::SYS_fspick,
    libc::SYS_mount_setattr,
    OPEN_TREE_ATTR,
    libc::SYS_ptrace,
    libc::SYS_process_vm_readv,
    libc::SYS_process_vm_writev,
    libc::SYS_pidfd_getfd,
    libc::SYS_kcmp,
    libc::SYS_bpf,
    libc::SYS_perf_event_open,
    libc::SYS_userfaultfd,
    libc::SYS_keyctl,
    libc::SYS_add_key,
    libc::SYS_request_key,
    libc::SYS_init_module,
    libc::SYS_finit_module,
    libc::SYS_delete_module,
    libc::SYS_kexec_load,
    libc::SYS_kexec_file_load,
    libc::SYS_open_by_handle_at,
    libc::SYS_fanotify_init,
    libc::SYS_quotactl,
    libc::SYS_acct,
    libc::SYS_swapon,
    libc::SYS_swapoff,
    libc::SYS_reboot,
    libc::SYS_syslog,
];

/// The same numbers on every architecture that is supported; their types differ between libraries.
const TIOCSTI: u64 = 0x5412;
const TIOCLINUX: u64 = 0x541c;

/// Since Linux 6.15 and 6.6, with one number everywhere.
const OPEN_TREE_ATTR: c_long = 467;
const FCHMODAT2: c_long = 452;

/// `ENOSYS`: libraries fall back to what a filter can look into. A ring opens sockets without a system call for each,
/// and what `clone3` and `openat2` are asked for is behind a pointer.
const ABSENT: &[c_long] = &[
    libc::SYS_io_uring_setup,
    libc::SYS_io_uring_enter,
    libc::SYS_io_uring_register,
    libc::SYS_clone3,
    libc::SYS_openat2,
];

fn always(calls: &[c_long]) -> impl Iterator<Item = (i64, Vec<SeccompRule>)> {
    // No rule at all means whatever the arguments.
    calls.iter().map(|call| (*call, Vec::new()))
}

/// Calls that are refused for some arguments.
fn arguments() -> Built<Vec<(i64, Vec<SeccompRule>)>> {
    let namespaces = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ];
    let clone = namespaces.map(|flag| {
        let flag = u64::from(flag.cast_unsigned());
        rule(&[(0, Op::MaskedEq(flag), flag)])
    });
    // Typing for whoever owns the terminal. The kernel looks at 32 bits of the request; so does the filter.
    let ioctl = [TIOCSTI, TIOCLINUX].map(|request| rule(&[(1, Op::Eq, request)]));
    // The process group reaches beyond the namespace.
    let group = |which: u64| Ok(vec![rule(&[(0, Op::Eq, which)])?]);
    let mut calls = vec![
        (libc::SYS_setpriority, group(1)?), // PRIO_PGRP
        (libc::SYS_ioprio_set, group(2)?),  // IOPRIO_WHO_PGRP
        (libc::SYS_clone, clone.into_iter().collect::<Built<_>>()?),
        (libc::SYS_ioctl, ioctl.into_iter().collect::<Built<_>>()?),
    ];
    calls.extend(set_id()?);
    Ok(calls)
}

/// No file becomes one that runs as its owner: outside, where its owner is a user of the machine and there is no
/// `no_new_privs`, whoever runs it would be that user.
fn set_id() -> Built<Vec<(i64, Vec<SeccompRule>)>> {
    const SET_ID: [u64; 2] = [libc::S_ISUID as u64, libc::S_ISGID as u64];
    const CREATING: [u64; 2] = [libc::O_CREAT as u64, (libc::O_TMPFILE & !libc::O_DIRECTORY) as u64];
    let mode = |at: u8| SET_ID.map(|bit| rule(&[(at, Op::MaskedEq(bit), bit)])).into_iter().collect::<Built<Vec<_>>>();
    // Where nothing is created, the argument is whatever was in the register.
    let created = |flags: u8, at: u8| {
        let both = CREATING.into_iter().flat_map(|flag| SET_ID.map(|bit| (flag, bit)));
        both.map(|(flag, bit)| rule(&[(flags, Op::MaskedEq(flag), flag), (at, Op::MaskedEq(bit), bit)]))
            .collect::<Built<Vec<_>>>()
    };
    let mut calls = vec![
        (libc::SYS_fchmod, mode(1)?),
        (libc::SYS_fchmodat, mode(2)?),
        (FCHMODAT2, mode(2)?),
        (libc::SYS_openat, created(2, 3)?),
        (libc::SYS_mknodat, mode(2)?),
    ];
    #[cfg(target_arch = "x86_64")]
    calls.extend([
        (libc::SYS_chmod, mode(1)?),
        (libc::SYS_open, created(1, 2)?),
        (libc::SYS_creat, mode(1)?),
        (libc::SYS_mknod, mode(1)?),
    ]);
    Ok(calls)
}

const UNIX: u64 = libc::AF_UNIX as u64;
const INET: u64 = libc::AF_INET as u64;
const INET6: u64 = libc::AF_INET6 as u64;

/// No netlink, packet, vsock or any other family.
fn families() -> Built<Rules> {
    let other = rule(&[(0, Op::Ne, UNIX), (0, Op::Ne, INET), (0, Op::Ne, INET6)])?;
    let pair = rule(&[(0, Op::Ne, UNIX)])?;
    Ok([(libc::SYS_socket, vec![other]), (libc::SYS_socketpair, vec![pair])].into())
}

/// Streams and datagrams of TCP and UDP; no raw socket, no ping, no other protocol.
fn protocols() -> Built<Rules> {
    const KIND: u64 = 0xf; // SOCK_TYPE_MASK; the kernel refuses other bits than CLOEXEC and NONBLOCK
    let stream_or_datagram = [libc::SOCK_STREAM, libc::SOCK_DGRAM];
    let mut rules = Vec::new();
    for kind in 0..=KIND {
        let is = |known: &[i32]| known.iter().any(|known| u64::from(known.cast_unsigned()) == kind);
        for family in [INET, INET6] {
            if !is(&stream_or_datagram) {
                rules.push(rule(&[(0, Op::Eq, family), (1, Op::MaskedEq(KIND), kind)])?);
            }
        }
        if !is(&stream_or_datagram) && !is(&[libc::SOCK_SEQPACKET]) {
            rules.push(rule(&[(0, Op::Eq, UNIX), (1, Op::MaskedEq(KIND), kind)])?);
        }
    }
    let [any, tcp, udp] = [0, libc::IPPROTO_TCP, libc::IPPROTO_UDP].map(|protocol| u64::from(protocol.cast_unsigned()));
    for family in [INET, INET6] {
        rules.push(rule(&[(0, Op::Eq, family), (2, Op::Ne, any), (2, Op::Ne, tcp), (2, Op::Ne, udp)])?);
    }
    Ok([(libc::SYS_socket, rules)].into())
}

/// All conditions hold: which argument, how, against what. Arguments are 32 bits wide for the kernel, and whatever is
/// above does not count.
fn rule(conditions: &[(u8, Op, u64)]) -> Built<SeccompRule> {
    let conditions =
        conditions.iter().map(|(index, how, value)| SeccompCondition::new(*index, Length::Dword, how.clone(), *value));
    SeccompRule::new(conditions.collect::<Built<_>>()?)
}

fn program(rules: Rules, error: i32) -> Built<BpfProgram> {
    let architecture: TargetArch = std::env::consts::ARCH.try_into()?;
    // Another architecture than this program's (32-bit calls on x86-64) kills: its numbers mean something else.
    SeccompFilter::new(rules, SeccompAction::Allow, SeccompAction::Errno(error.cast_unsigned()), architecture)?
        .try_into()
}

/// The numbers of x32, which are those of the same architecture with one more bit, do not exist.
fn no_x32() -> BpfProgram {
    const X32: u32 = 0x4000_0000;
    let word = |offset| sock_filter { code: 0x20, jt: 0, jf: 0, k: offset }; // BPF_LD | BPF_W | BPF_ABS
    let answer = |value| sock_filter { code: 0x06, jt: 0, jf: 0, k: value }; // BPF_RET | BPF_K
    let errno = u32::from(SeccompAction::Errno(libc::ENOSYS.cast_unsigned()));
    let below = sock_filter { code: 0x35, jt: 0, jf: 1, k: X32 }; // BPF_JMP | BPF_JGE | BPF_K
    vec![word(0), below, answer(errno), answer(u32::from(SeccompAction::Allow))]
}
