//! What a command may ask of the kernel.

#![allow(clippy::unwrap_used, clippy::panic, reason = "tests")]

mod common;

use common::{check, shared_directory, users};

/// A system call by its number, with numbers as arguments, and the error's number.
fn call(number: libc::c_long, arguments: &[i64]) -> String {
    let arguments: String = arguments.iter().map(|argument| format!(", {argument}")).collect();
    format!("$! = 0; syscall({number}{arguments}); print $! + 0, qq(\\n);")
}

#[track_caller]
fn refused(calls: &[(libc::c_long, &[i64], i32)]) {
    let script: String = calls.iter().map(|(number, arguments, _)| call(*number, arguments)).collect();
    let expect: Vec<String> = calls.iter().map(|(.., error)| error.to_string()).collect();
    check(&[], &format!("perl -e '{script}'"), &expect.join("\n"));
}

#[test]
fn system_calls_that_lead_out_are_refused() {
    let refused_always = [
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
    ];
    let all: Vec<(libc::c_long, &[i64], i32)> =
        refused_always.iter().map(|number| (*number, [0_i64; 5].as_slice(), libc::EPERM)).collect();
    refused(&all);
    let absent = [
        libc::SYS_io_uring_setup,
        libc::SYS_io_uring_enter,
        libc::SYS_io_uring_register,
        libc::SYS_clone3,
        libc::SYS_openat2,
    ];
    let absent: Vec<(libc::c_long, &[i64], i32)> =
        absent.iter().map(|number| (*number, [0_i64; 2].as_slice(), libc::ENOSYS)).collect();
    refused(&absent);
}

#[test]
fn no_namespace_is_made() {
    let flags = [
        libc::CLONE_NEWNS,
        libc::CLONE_NEWCGROUP,
        libc::CLONE_NEWUTS,
        libc::CLONE_NEWIPC,
        libc::CLONE_NEWUSER,
        libc::CLONE_NEWPID,
        libc::CLONE_NEWNET,
    ];
    for flag in flags {
        let flag = i64::from(flag);
        // Above 32 bits the kernel does not look, and neither may the filter.
        let high = flag | 1 << 40;
        let beside = flag | i64::from(libc::SIGCHLD);
        refused(&[
            (libc::SYS_unshare, &[flag], libc::EPERM),
            (libc::SYS_clone, &[flag, 0, 0, 0, 0], libc::EPERM),
            (libc::SYS_clone, &[high, 0, 0, 0, 0], libc::EPERM),
            (libc::SYS_clone, &[beside, 0, 0, 0, 0], libc::EPERM),
        ]);
    }
    check(&[], "unshare -Ur true 2>/dev/null; echo $?; nsenter -t 1 -n true 2>/dev/null; echo $?", "1\n1");
}

#[test]
fn sockets_are_of_three_families_and_two_protocols() {
    const SOCKET: libc::c_long = libc::SYS_socket;
    let (family, protocol) = (libc::EAFNOSUPPORT, libc::EPROTONOSUPPORT);
    let inet = i64::from(libc::AF_INET);
    let inet6 = i64::from(libc::AF_INET6);
    let unix = i64::from(libc::AF_UNIX);
    let mut cases: Vec<(libc::c_long, Vec<i64>, i32)> = vec![
        // Raw, with and without flags, ping, SCTP, DCCP, UDP-Lite, MPTCP, and bits that only look like another number.
        (SOCKET, vec![inet, 3, 1], protocol),
        (SOCKET, vec![inet, 3 | 0o2000000, 255], protocol),
        (SOCKET, vec![inet6, 3, 58], protocol),
        (SOCKET, vec![inet, 2, 1], protocol),
        (SOCKET, vec![inet6, 2, 58], protocol),
        (SOCKET, vec![inet, 1, 132], protocol),
        (SOCKET, vec![inet, 5, 132], protocol),
        (SOCKET, vec![inet, 6, 33], protocol),
        (SOCKET, vec![inet, 2, 136], protocol),
        (SOCKET, vec![inet, 1, 262], protocol),
        (SOCKET, vec![inet, 10, 3 << 8], protocol),
        (SOCKET, vec![inet | 1 << 32, 3, 1], protocol),
        (SOCKET, vec![inet, 3 | 1 << 32, 1], protocol),
        (SOCKET, vec![unix, 3, 0], protocol),
        (libc::SYS_socketpair, vec![inet, 1, 0, 0], family),
        // What programs use.
        (SOCKET, vec![inet, 1, 0], 0),
        (SOCKET, vec![inet, 1 | 0o2004000, 6], 0),
        (SOCKET, vec![inet, 2, 17], 0),
        (SOCKET, vec![inet6, 1, 0], 0),
        (SOCKET, vec![inet6, 2, 0], 0),
        (SOCKET, vec![unix, 1, 0], 0),
        (SOCKET, vec![unix, 2, 0], 0),
        (SOCKET, vec![unix, 5, 0], 0),
    ];
    // Every other family there is: packet, netlink, vsock, Bluetooth, AF_ALG, XDP, …
    let families = (0..64).filter(|number| ![unix, inet, inet6].contains(number));
    cases.extend(families.flat_map(|number| [1, 2, 3, 5].map(|kind| (SOCKET, vec![number, kind, 0], family))));
    let cases: Vec<(libc::c_long, &[i64], i32)> =
        cases.iter().map(|(number, arguments, error)| (*number, arguments.as_slice(), *error)).collect();
    refused(&cases);
}

#[test]
fn a_terminal_is_not_typed_on() {
    let cases = [libc::TIOCSTI as i64, libc::TIOCLINUX as i64, libc::TIOCSTI as i64 | 1 << 32];
    for request in cases {
        refused(&[(libc::SYS_ioctl, &[0, request, 0], libc::EPERM)]);
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn the_numbers_of_x32_do_not_exist() {
    for number in [libc::SYS_getpid, libc::SYS_unshare, libc::SYS_socket, 521, 539] {
        refused(&[(number | 0x4000_0000, &[0, 0, 0], libc::ENOSYS)]);
    }
}

#[cfg(target_arch = "x86_64")]
#[test]
fn calls_of_another_architecture_kill() {
    // A 32-bit program: `int 0x80` with the number of `exit`, in the smallest ELF file there is.
    let mut program = b"\x7fELF\x01\x01\x01\0\0\0\0\0\0\0\0\0\x02\0\x03\0\x01\0\0\0\x54\x80\x04\x08\x34\0\0\0".to_vec();
    program.extend(b"\0\0\0\0\0\0\0\0\x34\0\x20\0\x01\0\0\0\0\0\0\0\x01\0\0\0\0\0\0\0\0\x80\x04\x08\0\x80\x04\x08");
    program.extend(b"\x5f\0\0\0\x5f\0\0\0\x05\0\0\0\0\x10\0\0");
    // mov eax, 1 (exit); xor ebx, ebx; int 0x80
    program.extend(b"\xb8\x01\0\0\0\x31\xdb\xcd\x80\xf4\xf4");
    let directory = common::shared_directory();
    let path = directory.path().join("thirty-two");
    std::fs::write(&path, program).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o755)).unwrap();
    let bare = std::process::Command::new(&path).status();
    // A kernel without 32-bit programs does not start it at all.
    let expect = if bare.is_ok_and(|status| status.code() == Some(0)) { 128 + 31 } else { 126 };
    for user in users() {
        let output = common::run(user, &[], &[path.to_str().unwrap()]);
        assert_eq!(output.status.code(), Some(expect), "{user:?}: {output:?}");
    }
}

#[test]
fn no_capability_is_left_and_none_is_had() {
    let zero = "0000000000000000";
    let expect = format!("{zero}\n{zero}\n{zero}\n{zero}\n{zero}\n1\n2");
    check(&[], "grep -E '^(Cap|NoNewPrivs|Seccomp:)' /proc/self/status | cut -f2", &expect);
}

#[test]
fn a_set_user_id_program_is_run_as_oneself() {
    let directory = common::shared_directory();
    let path = directory.path().join("id");
    std::fs::copy("/usr/bin/id", &path).unwrap();
    std::fs::set_permissions(&path, std::os::unix::fs::PermissionsExt::from_mode(0o4755)).unwrap();
    for user in users() {
        let own = common::run(user, &[], &["id", "-u"]).stdout;
        assert_eq!(common::run(user, &[], &[path.to_str().unwrap(), "-u"]).stdout, own, "{user:?}");
    }
}

#[test]
fn processes_outside_are_neither_seen_nor_reached() {
    for user in users() {
        let us = std::process::id();
        let script = format!(
            "test -e /proc/{us}; echo $?; kill -0 {us} 2>/dev/null; echo $?; cat /proc/1/environ 2>&1 >/dev/null | grep -c denied; echo x > /proc/1/mem; echo $?"
        );
        let output = common::run(user, &[], &["sh", "-c", &script]);
        let said = String::from_utf8_lossy(&output.stdout).into_owned();
        assert_eq!(said, "1\n1\n1\n2\n", "{user:?}: {}", String::from_utf8_lossy(&output.stderr));
    }
    refused(&[(libc::SYS_ptrace, &[16, 1, 0, 0], libc::EPERM)]);
}

/// Outside, where the file's owner is somebody, whoever runs it would be them.
#[test]
fn no_file_is_made_set_id() {
    const FCHMODAT2: libc::c_long = 452;
    let at = i64::from(libc::AT_FDCWD);
    let (create, temporary) = (i64::from(libc::O_CREAT | libc::O_WRONLY), i64::from(libc::O_TMPFILE | libc::O_WRONLY));
    for bit in [0o4000, 0o2000, 0o6000, 0o4000 | 1 << 32] {
        let mode = bit | 0o755;
        let mut cases: Vec<(libc::c_long, Vec<i64>, i32)> = vec![
            (libc::SYS_fchmod, vec![1, mode], libc::EPERM),
            (libc::SYS_fchmodat, vec![at, 0, mode], libc::EPERM),
            (FCHMODAT2, vec![at, 0, mode, 0], libc::EPERM),
            (libc::SYS_openat, vec![at, 0, create, mode], libc::EPERM),
            (libc::SYS_openat, vec![at, 0, temporary, mode], libc::EPERM),
            // Nothing is created, and no mode is meant.
            (libc::SYS_openat, vec![at, 0, 0, mode], libc::EFAULT),
            (libc::SYS_mknodat, vec![at, 0, mode, 0], libc::EPERM),
        ];
        #[cfg(target_arch = "x86_64")]
        cases.extend([
            (libc::SYS_chmod, vec![0, mode], libc::EPERM),
            (libc::SYS_open, vec![0, create, mode], libc::EPERM),
            (libc::SYS_open, vec![0, 0, mode], libc::EFAULT),
            (libc::SYS_creat, vec![0, mode], libc::EPERM),
            (libc::SYS_mknod, vec![0, mode, 0], libc::EPERM),
        ]);
        let cases: Vec<(libc::c_long, &[i64], i32)> =
            cases.iter().map(|(number, arguments, error)| (*number, arguments.as_slice(), *error)).collect();
        refused(&cases);
    }
    // Programs go on as they do where they may not; other modes are nobody's business.
    let directory = shared_directory();
    let path = directory.path().display();
    let script = format!(
        "cp /bin/true {path}/$$ && chmod 755 {path}/$$ && echo made; chmod u+s {path}/$$ 2>&- || echo no; \
         mkdir {path}/$$.d && chmod 1777 {path}/$$.d && echo sticky; stat -c %a {path}/$$; rm -r {path}/$$ {path}/$$.d"
    );
    check(&[], &script, "made\nno\nsticky\n755");
}
