//! Bodies pass as they come, in both directions.

use std::time::Duration;

use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::rig::{Raw, Rig};

#[tokio::test]
async fn the_first_byte_arrives_before_the_last_is_sent() {
    let rig = Rig::new().await;
    let mut client = rig.tls().await;
    client.send("POST /ok/echo HTTP/1.1\r\nhost: api.test\r\ntransfer-encoding: chunked\r\n\r\n5\r\nfirst\r\n").await;
    assert_eq!(client.head().await.status, 200);
    while !String::from_utf8_lossy(client.pending()).contains("first") {
        assert!(client.more().await);
    }
    client.send("4\r\nlast\r\n0\r\n\r\n").await;
    while !client.pending().ends_with(b"0\r\n\r\n") {
        assert!(client.more().await);
    }
    assert!(String::from_utf8_lossy(client.pending()).contains("last"));
    assert_eq!(rig.upstream.seen()[0].headers["transfer-encoding"], "chunked");
}

#[tokio::test]
async fn a_large_body_passes_both_ways_unchanged() {
    const SIZE: usize = 8 << 20;
    let rig = Rig::new().await;
    let client = rig.tls().await;
    let (read, mut write) = tokio::io::split(client.stream);
    let upload = tokio::spawn(async move {
        let head = format!("POST /ok/echo HTTP/1.1\r\nhost: api.test\r\ncontent-length: {SIZE}\r\n\r\n");
        write.write_all(head.as_bytes()).await.unwrap();
        let block: Vec<u8> = (0..65536_u32).map(|i| (i % 251) as u8).collect();
        for _ in 0..SIZE / block.len() {
            write.write_all(&block).await.unwrap();
        }
        write.flush().await.unwrap();
        write
    });
    let mut client = Raw::new(tokio::io::join(read, tokio::io::sink()));
    let head = client.head().await.head;
    assert!(head.contains(&format!("content-length: {SIZE}")), "{head}");
    let mut all = client.pending().to_vec();
    let mut block = vec![0; 65536];
    while all.len() < SIZE {
        let n = tokio::time::timeout(Duration::from_secs(20), client.stream.read(&mut block)).await.unwrap().unwrap();
        assert!(n > 0);
        all.extend_from_slice(&block[..n]);
    }
    drop(upload.await.unwrap());
    assert_eq!(all.len(), SIZE);
    assert!(all.iter().enumerate().all(|(i, byte)| usize::from(*byte) == i % 65536 % 251));
}

#[tokio::test]
async fn a_slow_reader_holds_back_the_sender() {
    let rig = Rig::new().await;
    let mut client = rig.tls().await;
    client.send("POST /ok/echo HTTP/1.1\r\nhost: api.test\r\ntransfer-encoding: chunked\r\n\r\n").await;
    let block = format!("10000\r\n{}\r\n", "x".repeat(65536));
    let mut sent = 0;
    // Nobody reads the echo. Were it collected anywhere, this would go on forever.
    while tokio::time::timeout(Duration::from_millis(500), client.stream.write_all(block.as_bytes())).await.is_ok() {
        sent += 65536;
        assert!(sent < 256 << 20, "256 MiB are somewhere in this process");
    }
}
