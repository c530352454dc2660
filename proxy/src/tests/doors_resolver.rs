//! The sandbox's name server: what it says, and what it does with what is no question.

use std::net::Ipv4Addr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, MessageType, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::A;
use hickory_proto::rr::{Name, RData, Record, RecordType};
use proptest::prelude::*;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::time::timeout;

use super::rig::Rig;
use crate::doors::Resolver;
use crate::doors::resolver::{HEADER, IDLE, LOGGED, LONGEST, MOST_LOGGED, PAYLOAD, RATE, TTL};

fn ask(name: &str, kind: RecordType) -> Message {
    let mut message = Message::new(7, MessageType::Query, OpCode::Query);
    message.metadata.recursion_desired = true;
    message.add_query(Query::query(Name::from_ascii(name).unwrap(), kind));
    message
}

struct Asking {
    rig: Rig,
    resolver: Arc<Resolver>,
}

impl Asking {
    async fn new() -> Asking {
        let rig = Rig::new().await;
        let resolver = Arc::new(Resolver::new(rig.shared.clone(), Arc::default()));
        Asking { rig, resolver }
    }

    fn bytes(&self, message: &[u8]) -> Option<Message> {
        let answer = self.resolver.answer(message, Instant::now())?;
        assert!(answer.len() <= 512, "fits into every datagram");
        Some(Message::from_vec(&answer).unwrap())
    }

    /// The answer's code and, after it, its records.
    fn says(&self, message: &[u8]) -> String {
        let Some(answer) = self.bytes(message) else { return "nothing".to_owned() };
        assert_eq!(answer.metadata.message_type, MessageType::Response);
        assert_eq!(answer.metadata.id, u16::from_be_bytes([message[0], message[1]]));
        let records: Vec<String> = answer.answers.iter().map(|record| format!(" {}", record.data)).collect();
        format!("{:?}{}", answer.metadata.response_code, records.concat())
    }
}

#[tokio::test]
async fn a_name_of_the_policy_has_an_address_and_no_other_exists() {
    use RecordType::{A, AAAA, ANY, AXFR, HTTPS, MX, PTR, SRV, TXT};
    let asking = Asking::new().await;
    asking.rig.enforce(
        "version: 1\nnetwork_policies:\n  a:\n    endpoints:\n      - { host: api.test, port: 443 }\n      \
         - { host: '*.wild.test', port: 22 }\n      - { host: metadata.google.internal, port: 80 }\n",
        2,
    );
    for (name, kind, expect) in [
        ("api.test.", A, "NoError 198.18.0.2"),
        ("a.wild.test.", A, "NoError 198.18.0.3"),
        ("API.Test.", A, "NoError 198.18.0.2"),
        ("api.test.", AAAA, "NoError"),
        ("api.test.", HTTPS, "NoError"),
        ("api.test.", TXT, "NoError"),
        ("api.test.", MX, "NoError"),
        ("api.test.", ANY, "NoError"),
        ("api.test.", AXFR, "Refused"),
        ("policy.local.", A, "NoError 198.18.0.1"),
        ("policy.local.", AAAA, "NoError"),
        ("localhost.", A, "NoError 127.0.0.1"),
        ("anything.localhost.", A, "NoError 127.0.0.1"),
        ("localhost.", AAAA, "NoError"),
        ("2.0.18.198.in-addr.arpa.", PTR, "NoError api.test."),
        ("1.0.18.198.in-addr.arpa.", PTR, "NoError policy.local."),
        ("9.0.18.198.in-addr.arpa.", PTR, "NXDomain"),
        ("1.0.0.10.in-addr.arpa.", PTR, "NXDomain"),
        ("other.test.", A, "NXDomain"),
        ("other.test.", TXT, "NXDomain"),
        ("_ldap._tcp.other.test.", SRV, "NXDomain"),
        ("wild.test.", A, "NXDomain"),
        ("b.a.wild.test.", A, "NXDomain"),
        ("api.test.corp.", A, "NXDomain"),
        ("c2VjcmV0LWRhdGE.evil.test.", TXT, "NXDomain"),
        // Whatever a policy says of it.
        ("metadata.google.internal.", A, "NXDomain"),
        ("10.0.0.1.", A, "NXDomain"),
        ("0x7f000001.", A, "NXDomain"),
        (".", A, "NXDomain"),
    ] {
        let message = ask(name, kind).to_vec().unwrap();
        assert_eq!(asking.says(&message), expect, "{name} {kind}");
    }
}

#[tokio::test]
async fn a_policy_that_asks_a_person_has_every_name() {
    let asking = Asking::new().await;
    asking.rig.enforce("version: 1\non_miss: ask\nnetwork_policies: {}\n", 2);
    let a = |name| ask(name, RecordType::A).to_vec().unwrap();
    assert_eq!(asking.says(&a("other.test.")), "NoError 198.18.0.2");
    assert_eq!(asking.says(&a("metadata.google.internal.")), "NXDomain");
    asking.rig.shared.active.clear();
    assert_eq!(asking.says(&a("other.test.")), "ServFail");
    assert_eq!(asking.says(&a("policy.local.")), "NoError 198.18.0.1");
}

#[tokio::test]
async fn a_message_has_one_reading_or_is_refused() {
    let asking = Asking::new().await;
    let good = ask("api.test.", RecordType::A).to_vec().unwrap();
    let with = |at: usize, byte: u8| {
        let mut message = good.clone();
        message[at] = byte;
        message
    };
    let header = good[..HEADER].to_vec();
    let question = |name: &[u8]| [&header, name, &[0, 1, 0, 1]].concat();
    let mut edns = ask("api.test.", RecordType::A);
    edns.set_edns(Edns::new());
    let edns = edns.to_vec().unwrap();
    let twice = |message: &[u8], count_at: usize, from: usize| {
        let mut twice = [message, &message[from..]].concat();
        twice[count_at] = 2;
        twice
    };
    let with_answer = {
        let mut message = ask("api.test.", RecordType::A);
        let address = RData::A(A(Ipv4Addr::LOCALHOST));
        message.add_answer(Record::from_rdata(Name::from_ascii("api.test.").unwrap(), 1, address));
        message.to_vec().unwrap()
    };
    for (message, expect) in [
        (good.clone(), "NoError 198.18.0.2"),
        (edns.clone(), "NoError 198.18.0.2"),
        (vec![], "nothing"),
        (good[..11].to_vec(), "nothing"),
        // An answer is not answered.
        (with(2, 0x81), "nothing"),
        (with(2, 0x28), "NotImp"),
        (with(2, 0x10), "NotImp"),
        (with(2, 0x03), "FormErr"),
        (with(5, 0), "FormErr"),
        (with(5, 2), "FormErr"),
        (with(4, 0xFF), "FormErr"),
        (with(7, 1), "FormErr"),
        (with(9, 1), "FormErr"),
        (with(11, 1), "FormErr"),
        (twice(&good, 5, HEADER), "FormErr"),
        (twice(&edns, 11, good.len()), "FormErr"),
        (with_answer, "FormErr"),
        (header.clone(), "FormErr"),
        (good[..good.len() - 1].to_vec(), "FormErr"),
        ([&good[..], b"\0"].concat(), "FormErr"),
        ([&good[..], &[0; LONGEST]].concat(), "FormErr"),
        // To itself, to the header, forwards, and after a label.
        (question(&[0xC0, 12]), "FormErr"),
        (question(&[0xC0, 0]), "FormErr"),
        (question(&[0xC0, 30]), "FormErr"),
        (question(&[1, b'a', 0xC0, 12]), "FormErr"),
        (question(&[0x41, b'a', 0]), "FormErr"),
        (question(&[63, b'a', 0]), "FormErr"),
        (question(&[&[63; 64][..]; 5].concat()), "FormErr"),
        // A dot, a NUL and a letter beyond ASCII within a label.
        (question(b"\x08api.test\0"), "NXDomain"),
        (question(b"\x04-api\x04test\0"), "NXDomain"),
        (question(b"\x04api\0\x04test\0"), "NXDomain"),
        (question(b"\x05ap\xc3\xad.\x04test\0"), "NXDomain"),
        // Of another class.
        ([&good[..good.len() - 1], &[3]].concat(), "Refused"),
        ([&good[..good.len() - 1], &[255]].concat(), "Refused"),
    ] {
        assert_eq!(asking.says(&message), expect, "{message:?}");
    }
}

#[tokio::test]
async fn edns_is_answered_in_kind() {
    let asking = Asking::new().await;
    let mut message = ask("api.test.", RecordType::A);
    assert!(asking.bytes(&message.to_vec().unwrap()).unwrap().edns.is_none());
    let mut edns = Edns::new();
    edns.set_max_payload(4096).set_dnssec_ok(true);
    message.set_edns(edns.clone());
    let answer = asking.bytes(&message.to_vec().unwrap()).unwrap();
    let found = answer.edns.unwrap();
    assert_eq!((found.version(), found.max_payload(), found.flags().dnssec_ok), (0, PAYLOAD, true));
    assert!(answer.metadata.recursion_available && answer.metadata.recursion_desired);
    assert!(!answer.metadata.authentic_data);
    edns.set_version(1);
    message.set_edns(edns);
    let answer = asking.bytes(&message.to_vec().unwrap()).unwrap();
    // 16 is another code, too, in another place.
    assert_eq!((u16::from(answer.metadata.response_code), answer.answers.len()), (16, 0));
}

#[tokio::test]
async fn the_letters_of_a_question_come_back_as_they_were() {
    let asking = Asking::new().await;
    let answer = asking.bytes(&ask("aPi.TeSt.", RecordType::A).to_vec().unwrap()).unwrap();
    assert_eq!(answer.queries[0].name().to_string(), "aPi.TeSt.");
    assert_eq!(answer.answers[0].name.to_string(), "aPi.TeSt.");
    assert_eq!(answer.answers[0].ttl, TTL);
}

#[tokio::test]
async fn a_refused_name_is_logged_once_a_minute_and_made_up_ones_within_bounds() {
    let asking = Asking::new().await;
    let lines = || asking.rig.audit().lines().filter(|line| line.contains("other.test")).count();
    let other = ask("other.test.", RecordType::A).to_vec().unwrap();
    let start = Instant::now();
    for at in [0, 1, 59] {
        asking.resolver.answer(&other, start + Duration::from_secs(at)).unwrap();
        assert_eq!(lines(), 1);
    }
    asking.resolver.answer(&other, start + LOGGED).unwrap();
    assert_eq!(lines(), 2);
    assert!(asking.rig.shared.denials.last(1).is_empty(), "there is no port, and so no denial");
    for n in 0..2 * MOST_LOGGED {
        let made_up = ask(&format!("x{n}.evil.test."), RecordType::TXT).to_vec().unwrap();
        asking.resolver.answer(&made_up, start + LOGGED).unwrap();
    }
    let evil = asking.rig.audit().lines().filter(|line| line.contains("evil.test")).count();
    assert_eq!(evil, MOST_LOGGED - 1);
}

#[tokio::test]
async fn both_sockets_answer_and_more_than_is_meant_is_not() {
    let asking = Asking::new().await;
    let udp = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    let tcp = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let (at, tcp_at) = (udp.local_addr().unwrap(), tcp.local_addr().unwrap());
    tokio::spawn(asking.resolver.clone().serve_udp(udp));
    tokio::spawn(asking.resolver.clone().serve_tcp(tcp));
    let question = ask("api.test.", RecordType::A).to_vec().unwrap();

    let mut client = TcpStream::connect(tcp_at).await.unwrap();
    let length = u16::try_from(question.len()).unwrap().to_be_bytes();
    let message = [&length[..], &question].concat();
    for step in [1, 5, message.len()] {
        for part in message.chunks(step) {
            client.write_all(part).await.unwrap();
        }
        let mut answer = vec![0; usize::from(client.read_u16().await.unwrap())];
        client.read_exact(&mut answer).await.unwrap();
        assert_eq!(Message::from_vec(&answer).unwrap().answers.len(), 1);
    }
    client.write_all(&[0xFF, 0xFF, 0, 0]).await.unwrap();
    assert_eq!(client.read(&mut [0; 8]).await.unwrap_or(0), 0, "a message of 65535 bytes is not waited for");

    let client = UdpSocket::bind("127.0.0.1:0").await.unwrap();
    client.send_to(&[&question[..], &[0; 2 * LONGEST]].concat(), at).await.unwrap();
    let mut answer = [0; 2048];
    let length = timeout(IDLE, client.recv(&mut answer)).await.unwrap().unwrap();
    assert_eq!(Message::from_vec(&answer[..length]).unwrap().metadata.response_code, ResponseCode::FormErr);
    let now = Instant::now();
    let fresh = Resolver::new(asking.rig.shared.clone(), Arc::default());
    let answered = (0..RATE * 3).filter(|_| fresh.may_ask(now)).count();
    assert_eq!(answered, usize::try_from(RATE).unwrap());
    assert!(fresh.may_ask(now + Duration::from_secs(1)));
}

#[test]
fn whatever_arrives_is_read_within_bounds() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    runtime.block_on(async {
        let asking = Asking::new().await;
        let good = ask("api.test.", RecordType::A).to_vec().unwrap();
        let arbitrary = proptest::collection::vec(any::<u8>(), 0..1200);
        let damaged = proptest::collection::vec((0..good.len() + 20, any::<u8>()), 0..6).prop_map(move |changes| {
            let mut message = [&good[..], &[0; 20]].concat();
            changes.into_iter().for_each(|(at, byte)| message[at] = byte);
            message
        });
        proptest!(|(message in prop_oneof![arbitrary, damaged])| {
            if let Some(answer) = asking.resolver.answer(&message, Instant::now()) {
                let answer = Message::from_vec(&answer).unwrap();
                prop_assert_eq!(answer.metadata.message_type, MessageType::Response);
                prop_assert!(answer.answers.len() <= 1);
            }
        });
    });
}
