//! Files that the shell had open.

use std::process::Stdio;

use narrowgate_tests::system::Leak;

use crate::confined;

const SAY: &str = "echo leaked >&7; echo leaked >&42; ls /proc/self/fd";

#[tokio::test(flavor = "multi_thread")]
async fn are_not_handed_on() {
    let (confined, _) = confined().await;
    for is_confined in [false, true] {
        let leak = Leak::listen();
        let open = format!("exec 7<>/dev/tcp/127.0.0.1/{}; exec 42>&7; exec \"$@\"", leak.port());
        let mut shell = tokio::process::Command::new("bash");
        shell.args(["-c", &open, "bash"]).stdin(Stdio::null()).stderr(Stdio::null());
        if is_confined {
            let narrowgate = confined.narrowgate(&[]);
            shell.arg(narrowgate.as_std().get_program()).args(narrowgate.as_std().get_args());
        }
        let output = shell.args(["bash", "-c", SAY]).output();
        let (output, received) = tokio::join!(output, tokio::task::spawn_blocking(move || leak.received()));
        let files = String::from_utf8(output.unwrap().stdout).unwrap();
        match is_confined {
            false => assert_eq!(received.unwrap(), "leaked\nleaked\n", "the attack itself does not work"),
            true => {
                assert_eq!(received.unwrap(), "");
                // 3 is the directory that `ls` reads.
                assert_eq!(files, "0\n1\n2\n3\n");
            }
        }
    }
}
