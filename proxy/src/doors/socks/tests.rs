#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, clippy::indexing_slicing, reason = "tests")]

use proptest::prelude::*;

use super::*;

/// What a parser says of `bytes`: a message, as a person would write it, a reply, or that it waits.
fn read(bytes: &[u8]) -> String {
    match request(bytes) {
        Ok(Some(Destination::Address(address, port))) => format!("{address} {port}"),
        Ok(Some(Destination::Name(to))) => to.to_string(),
        Ok(None) => "waits".to_owned(),
        Err(problem) => format!("{:?}: {}", problem.reply, problem.why),
    }
}

fn named_request(name: &[u8]) -> Vec<u8> {
    [&[5, 1, 0, 3, u8::try_from(name.len()).unwrap()], name, &[1, 187]].concat()
}

#[test]
fn a_request_has_one_reading_or_none() {
    let long = vec![b'a'; 255];
    for (bytes, expect) in [
        (named_request(b"api.test"), "api.test:443"),
        (named_request(b"API.Test."), "api.test:443"),
        (named_request(b"10.0.0.1"), "10.0.0.1:443"),
        (vec![5, 1, 0, 1, 10, 0, 0, 1, 0, 22], "10.0.0.1 22"),
        (vec![5, 1, 0, 4, 0x20, 1, 0xd, 0xb8, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 1, 0, 22], "2001:db8::1 22"),
        // Names of three and fifteen bytes are as long, with their lengths, as addresses are.
        (named_request(b"a.b"), "a.b:443"),
        (named_request(b"fifteen.letters"), "fifteen.letters:443"),
        (named_request(b""), "Failed: the name has no characters"),
        (named_request(b"a\0.test"), "Failed: host \"a\\0.test\""),
        (named_request(b"a b.test"), "Failed: host"),
        (named_request(b"user@api.test"), "Failed: host"),
        (named_request(b"api.test:80"), "Failed: \"api.test:80\" is an address"),
        (named_request(b"[::1]"), "Failed: \"[::1]\" is an address"),
        (named_request(b"::1"), "Failed: \"::1\" is an address"),
        (named_request(b"0x7f.1"), "Failed: host"),
        (named_request(b"a..test"), "Failed: host"),
        (named_request(b"*.test"), "Failed: host"),
        (named_request("b\u{fc}cher.test".as_bytes()), "Failed: the name is not ASCII"),
        (named_request(&[0xff, 0xfe]), "Failed: the name is not ASCII"),
        (named_request(&long), "Failed: host"),
        (vec![5, 1, 0, 1, 10, 0, 0, 1, 0, 0], "Failed: port 0"),
        (vec![5, 1, 1, 1, 10, 0, 0, 1, 0, 22], "Failed: the request's reserved byte"),
        (vec![4, 1, 0, 1, 10, 0, 0, 1, 0, 22], "Failed: the request's version"),
        (vec![4], "Failed: the request's version"),
        (vec![5, 1, 0, 2], "AddressNotSupported: there is no address type 2"),
        (vec![5, 2, 0, 1, 10, 0, 0, 1, 0, 22], "CommandNotSupported: BIND"),
        (vec![5, 3, 0, 1, 0, 0, 0, 0, 0, 0], "CommandNotSupported: UDP ASSOCIATE"),
        (vec![5, 0xF0, 0, 1, 10, 0, 0, 1, 0, 22], "CommandNotSupported: there is no command 240"),
        ([named_request(b"api.test"), vec![0]].concat(), "Failed: more follows"),
        (vec![5, 1, 0, 1, 10, 0, 0, 1, 0, 22, b'G'], "Failed: more follows"),
        (vec![], "waits"),
        (vec![5, 1, 0, 3], "waits"),
        (vec![5, 1, 0, 3, 9, b'a'], "waits"),
        (vec![5, 1, 0, 1, 10, 0, 0, 1, 0], "waits"),
    ] {
        let found = read(&bytes);
        assert!(found.starts_with(expect), "{bytes:?}: {found:?}, not {expect:?}");
    }
}

#[test]
fn a_greeting_offers_to_go_without_authentication() {
    for (bytes, expect) in [
        (vec![5, 1, 0], Ok(true)),
        (vec![5, 3, 1, 2, 0], Ok(true)),
        (vec![], Ok(false)),
        (vec![5], Ok(false)),
        (vec![5, 2, 0], Ok(false)),
        (vec![5, 0], Err("no way to authenticate")),
        (vec![5, 1, 2], Err("insists on authentication")),
        (vec![5, 1, 0, 5], Err("more follows")),
        (vec![6, 1, 0], Err("version is not 5")),
        ([vec![5, 255], vec![9; 255]].concat(), Err("insists on authentication")),
    ] {
        match (greeting(&bytes), expect) {
            (Ok(found), Ok(whole)) => assert_eq!(found.is_some(), whole, "{bytes:?}"),
            (Err(found), Err(why)) => assert!(found.why.contains(why), "{bytes:?}: {found:?}"),
            (found, _) => panic!("{bytes:?}: {found:?}"),
        }
    }
}

#[test]
fn an_address_that_the_resolver_gave_is_the_name_it_was_given_to() {
    let names = Names::default();
    let given = names.address(&Host::parse("api.test").unwrap(), Instant::now()).unwrap();
    for (address, table, expect) in [
        (given.to_string(), Some(&names), Ok("api.test:80")),
        ("198.18.0.1".to_owned(), Some(&names), Ok("policy.local:80")),
        ("10.0.0.1".to_owned(), Some(&names), Ok("10.0.0.1:80")),
        ("198.18.7.7".to_owned(), Some(&names), Err(Reply::HostUnreachable)),
        // Outside a sandbox nobody gives synthetic addresses.
        ("198.18.7.7".to_owned(), None, Ok("198.18.7.7:80")),
        ("::ffff:10.0.0.1".to_owned(), None, Err(Reply::Failed)),
    ] {
        let found = named(Destination::Address(address.parse().unwrap(), Port::HTTP), table);
        let found = found.map(|(to, _)| to.to_string()).map_err(|problem| problem.reply);
        assert_eq!(found, expect.map(str::to_owned), "{address}");
    }
}

#[test]
fn what_cannot_be_reached_is_said_in_the_protocol_s_words() {
    use std::io::{Error, ErrorKind};
    let (host, port) = (Host::parse("api.test").unwrap(), Port::HTTP);
    let connect = |kind| Why::Unreachable(DialError::Connect { host: host.clone(), port, source: Error::from(kind) });
    for (why, reply) in [
        (Why::Denied, Reply::NotAllowed),
        (Why::Unavailable, Reply::Failed),
        (connect(ErrorKind::ConnectionRefused), Reply::Refused),
        (connect(ErrorKind::NetworkUnreachable), Reply::NetworkUnreachable),
        (connect(ErrorKind::HostUnreachable), Reply::HostUnreachable),
        (connect(ErrorKind::TimedOut), Reply::HostUnreachable),
        (Why::Unreachable(DialError::TimedOut { host: host.clone(), port }), Reply::HostUnreachable),
        (
            Why::Unreachable(DialError::Dns { host: host.clone(), source: Error::from(ErrorKind::NotFound) }),
            Reply::HostUnreachable,
        ),
    ] {
        assert_eq!(Reply::of(&why), reply);
    }
}

proptest! {
    #[test]
    fn whatever_arrives_is_read_within_bounds(bytes in proptest::collection::vec(any::<u8>(), 0..300)) {
        for parse in [|bytes: &[u8]| greeting(bytes).map(|found| found.is_some()), |bytes: &[u8]| {
            request(bytes).map(|found| found.is_some())
        }] {
            let whole = parse(&bytes);
            // Nothing is waited for beyond the longest message, and no more bytes make a refusal good.
            if bytes.len() > LONGEST {
                prop_assert_ne!(whole.as_ref().ok(), Some(&false));
            }
            let refused = (0..=bytes.len()).find(|length| parse(&bytes[..*length]).is_err());
            if let Some(refused) = refused {
                prop_assert!((refused..=bytes.len()).all(|length| parse(&bytes[..length]).is_err()));
            }
        }
    }

    #[test]
    fn every_whole_request_is_read_as_it_was_written(
        name in "[a-z][a-z0-9]{0,20}(\\.[a-z][a-z0-9]{0,20}){1,4}",
        port in 1..=u16::MAX,
    ) {
        let length = u8::try_from(name.len()).unwrap();
        let bytes = [&[5, 1, 0, 3, length], name.as_bytes(), &port.to_be_bytes()].concat();
        prop_assert_eq!(read(&bytes), format!("{name}:{port}"));
        for cut in 0..bytes.len() {
            prop_assert_eq!(read(&bytes[..cut]), "waits");
        }
    }
}
