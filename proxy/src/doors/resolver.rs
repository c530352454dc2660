//! The sandbox's name server: answers from the policy alone, and asks nobody.
//!
//! A name that some endpoint of the policy matches has a synthetic address ([`Names`]); any other does not exist. As no
//! question leaves the machine, no question can carry anything out of it either. Messages are read strictly: one
//! question of the internet's class, uncompressed, and nothing else but EDNS.

use std::collections::HashMap;
use std::net::Ipv4Addr;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use hickory_proto::op::{Edns, Message, MessageType, Metadata, OpCode, Query, ResponseCode};
use hickory_proto::rr::rdata::{A, PTR};
use hickory_proto::rr::{DNSClass, Name, RData, Record, RecordType};
use hickory_proto::serialize::binary::{BinDecodable, BinDecoder};
use narrowgate_core::blocked::always_blocked_host;
use narrowgate_core::policy::OnMiss;
use narrowgate_core::request::Host;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, TcpStream, UdpSocket};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::names::Names;
use crate::audit::{Severity, What};
use crate::policy_local;
use crate::shared::{self, Shared, id};

/// How long a client may keep an answer, in seconds.
pub(crate) const TTL: u32 = 30;
/// The longest message that is read, in bytes; a name has 255, and what else a question needs little.
pub(crate) const LONGEST: usize = 1024;
/// What EDNS says about answers, which are all shorter.
pub(crate) const PAYLOAD: u16 = 1232;
pub(crate) const HEADER: usize = 12;
/// Questions that are answered in a second. No program that resolves names asks so many.
pub(crate) const RATE: u32 = 1000;
const MOST_TCP: usize = 64;
/// For a TCP client to ask, or to ask again.
pub(crate) const IDLE: Duration = Duration::from_secs(10);
/// A name that is refused is logged so often.
pub(crate) const LOGGED: Duration = Duration::from_secs(60);
/// As many names are logged in that time: beyond it, somebody makes them up.
pub(crate) const MOST_LOGGED: usize = 256;

/// Answers the questions of one sandbox.
pub(crate) struct Resolver {
    shared: Arc<Shared>,
    names: Arc<Names>,
    budget: Mutex<Budget>,
    logged: Mutex<HashMap<Host, Instant>>,
}

#[derive(Default)]
struct Budget {
    second: Option<Instant>,
    spent: u32,
}

/// What is known about a name.
enum Known {
    /// It has this address of IPv4 and nothing else.
    Address(Ipv4Addr),
    /// It is the name of a synthetic address, asked backwards.
    Backwards(Host),
    /// There is no such name.
    Nothing,
    /// Not at the moment.
    Busy,
}

impl Resolver {
    pub(crate) fn new(shared: Arc<Shared>, names: Arc<Names>) -> Resolver {
        Resolver { shared, names, budget: Mutex::default(), logged: Mutex::default() }
    }

    /// Answers datagrams until the proxy stops.
    pub(crate) async fn serve_udp(self: Arc<Self>, socket: UdpSocket) {
        // One more than is read, so that a longer message is known to be longer.
        let mut arrived = [0; LONGEST + 1];
        loop {
            let received = tokio::select! {
                received = socket.recv_from(&mut arrived) => received,
                () = self.shared.stop.cancelled() => return,
            };
            let (length, from) = match received {
                Ok(received) => received,
                Err(e) => {
                    tracing::debug!("resolver: {e}");
                    tokio::time::sleep(Duration::from_millis(10)).await;
                    continue;
                }
            };
            let now = Instant::now();
            // Who asks too much is not answered: a client that means it asks again.
            if !self.may_ask(now) {
                continue;
            }
            if let Some(answer) = self.answer(arrived.get(..length).unwrap_or_default(), now)
                && let Err(e) = socket.send_to(&answer, from).await
            {
                tracing::debug!("resolver: no answer to {from}: {e}");
            }
        }
    }

    /// Answers TCP clients until the proxy stops.
    pub(crate) async fn serve_tcp(self: Arc<Self>, listener: TcpListener) {
        let slots = Arc::new(Semaphore::new(MOST_TCP));
        loop {
            let accept = async {
                let slot = slots.clone().acquire_owned().await;
                (slot, listener.accept().await)
            };
            let (slot, accepted) = tokio::select! {
                accepted = accept => accepted,
                () = self.shared.stop.cancelled() => return,
            };
            let Ok((stream, _)) = accepted else {
                tokio::time::sleep(Duration::from_millis(50)).await;
                continue;
            };
            let resolver = self.clone();
            self.shared.tasks.spawn(async move {
                tokio::select! {
                    () = resolver.converse(stream) => {}
                    () = resolver.shared.stop.cancelled() => {}
                }
                drop(slot);
            });
        }
    }

    async fn converse(&self, mut stream: TcpStream) {
        while let Ok(Some(question)) = timeout(IDLE, framed(&mut stream)).await {
            while !self.may_ask(Instant::now()) {
                tokio::time::sleep(Duration::from_millis(100)).await;
            }
            let Some(answer) = self.answer(&question, Instant::now()) else { return };
            let Ok(length) = u16::try_from(answer.len()) else { return };
            let framed = [length.to_be_bytes().as_slice(), &answer].concat();
            if !matches!(timeout(IDLE, stream.write_all(&framed)).await, Ok(Ok(()))) {
                return;
            }
        }
    }

    /// Whether one more question is answered in this second.
    pub(crate) fn may_ask(&self, now: Instant) -> bool {
        let mut budget = self.budget.lock().unwrap_or_else(PoisonError::into_inner);
        if budget.second.is_none_or(|second| now.duration_since(second) >= Duration::from_secs(1)) {
            *budget = Budget { second: Some(now), spent: 0 };
        }
        budget.spent += 1;
        budget.spent <= RATE
    }

    /// The answer to one message; `None` to what is no question, since an answer to an answer could go on for ever.
    pub(crate) fn answer(&self, message: &[u8], now: Instant) -> Option<Vec<u8>> {
        let header = message.first_chunk::<HEADER>()?;
        let [high, low, flags, ..] = *header;
        if flags & 0x80 != 0 {
            return None;
        }
        let answer = match question(message, header) {
            Ok(asked) => self.respond(&asked, now),
            Err(code) => {
                let id = u16::from_be_bytes([high, low]);
                let mut refused = Message::error_msg(id, OpCode::from_u8(flags >> 3 & 0xF), code);
                refused.metadata.recursion_desired = flags & 1 != 0;
                refused
            }
        };
        answer.to_vec().ok()
    }

    fn respond(&self, asked: &Asked, now: Instant) -> Message {
        let mut answer = Message::new(asked.metadata.id, MessageType::Response, OpCode::Query);
        answer.metadata = Metadata::response_from_request(&asked.metadata);
        // Clients ask for recursion and are told that they had it: there is nobody else to ask.
        answer.metadata.recursion_available = true;
        answer.add_query(asked.query.clone());
        let extended = asked.edns.as_ref().map(|asked| {
            let mut edns = Edns::new();
            edns.set_max_payload(PAYLOAD).set_version(0).set_dnssec_ok(asked.flags().dnssec_ok);
            edns
        });
        if let Some(mut edns) = extended {
            if asked.edns.as_ref().is_some_and(|asked| asked.version() != 0) {
                edns.set_rcode_high(ResponseCode::BADVERS.high());
                answer.metadata.response_code = ResponseCode::BADVERS;
                answer.set_edns(edns);
                return answer;
            }
            answer.set_edns(edns);
        }
        let (code, data) = self.look_up(&asked.query, now);
        answer.metadata.response_code = code;
        if let Some(data) = data {
            answer.add_answer(Record::from_rdata(asked.query.name().clone(), TTL, data));
        }
        answer
    }

    fn look_up(&self, query: &Query, now: Instant) -> (ResponseCode, Option<RData>) {
        let kind = query.query_type();
        if query.query_class() != DNSClass::IN || matches!(kind, RecordType::AXFR | RecordType::IXFR) {
            return (ResponseCode::Refused, None);
        }
        let Some(name) = host(query.name()) else { return (ResponseCode::NXDomain, None) };
        match self.known(&name, now) {
            Known::Address(address) if kind == RecordType::A => (ResponseCode::NoError, Some(RData::A(A(address)))),
            Known::Backwards(name) if kind == RecordType::PTR => match Name::from_ascii(format!("{name}.")) {
                Ok(name) => (ResponseCode::NoError, Some(RData::PTR(PTR(name)))),
                Err(_) => (ResponseCode::ServFail, None),
            },
            // It exists, and has nothing of that type.
            Known::Address(_) | Known::Backwards(_) => (ResponseCode::NoError, None),
            Known::Nothing => (ResponseCode::NXDomain, None),
            Known::Busy => (ResponseCode::ServFail, None),
        }
    }

    fn known(&self, name: &Host, now: Instant) -> Known {
        if name.as_str() == "localhost" || name.as_str().ends_with(".localhost") {
            return Known::Address(Ipv4Addr::LOCALHOST);
        }
        if let Some(address) = backwards(name) {
            return self.names.name(address).map_or(Known::Nothing, Known::Backwards);
        }
        if name.as_str() != policy_local::HOST {
            if let Some(blocked) = always_blocked_host(name) {
                self.refused(name, &format!("it is a {} name, which no sandbox may reach", blocked.class), now);
                return Known::Nothing;
            }
            let Some(enforced) = self.shared.active.load(shared::now()) else { return Known::Busy };
            let asks = enforced.snapshot.policy().on_miss != OnMiss::Deny;
            if !asks && !enforced.snapshot.names(name) {
                self.refused(name, "no endpoint of the policy has that host", now);
                return Known::Nothing;
            }
        }
        match self.names.address(name, now) {
            Some(address) => Known::Address(address),
            None => {
                self.refused(name, "too many names were resolved", now);
                Known::Busy
            }
        }
    }

    /// Logs a refusal, which has no port and so is no denial: an agent makes nothing of it, and an operator may.
    fn refused(&self, name: &Host, why: &str, now: Instant) {
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.get(name).is_some_and(|at| now.duration_since(*at) < LOGGED) {
            return;
        }
        if logged.len() >= MOST_LOGGED {
            logged.retain(|_, at| now.duration_since(*at) < LOGGED);
        }
        if logged.len() >= MOST_LOGGED {
            return tracing::debug!("more names are refused than are logged");
        }
        logged.insert(name.clone(), now);
        drop(logged);
        let what = What::Finding {
            title: "name not resolved".to_owned(),
            detail: format!("{name} was asked for and not resolved: {why}"),
            severity: Severity::Low,
            flow: None,
        };
        // The name stays unresolved; that it could not be logged was reported.
        let _ = self.shared.audit(&id("c_"), what);
    }
}

/// A question that has one reading.
struct Asked {
    metadata: Metadata,
    query: Query,
    edns: Option<Edns>,
}

/// Reads a message that asks one thing; or with what to answer it instead.
fn question(message: &[u8], header: &[u8; HEADER]) -> Result<Asked, ResponseCode> {
    let [_, _, flags, _, counts @ ..] = *header;
    if flags >> 3 & 0xF != 0 {
        return Err(ResponseCode::NotImp);
    }
    let truncated = flags & 0x02 != 0;
    // One question, no answers, no authorities, and EDNS at most.
    let [0, 1, 0, 0, 0, 0, 0, 0 | 1] = counts else { return Err(ResponseCode::FormErr) };
    if truncated || message.len() > LONGEST || !is_uncompressed(message.get(HEADER..).unwrap_or_default()) {
        return Err(ResponseCode::FormErr);
    }
    let mut decoder = BinDecoder::new(message);
    let mut read = Message::read(&mut decoder).map_err(|_| ResponseCode::FormErr)?;
    let extra = !read.additionals.is_empty() || read.signature.is_some();
    match read.queries.pop() {
        Some(query) if !extra && decoder.is_empty() => Ok(Asked { metadata: read.metadata, query, edns: read.edns }),
        _ => Err(ResponseCode::FormErr),
    }
}

/// Whether a name ends without a pointer to another place, of which there is none before the first.
fn is_uncompressed(mut name: &[u8]) -> bool {
    loop {
        match name {
            [0, ..] => return true,
            [length @ 1..=63, rest @ ..] if rest.len() > usize::from(*length) => {
                name = rest.get(usize::from(*length)..).unwrap_or_default();
            }
            _ => return false,
        }
    }
}

/// The name as policies have it; none where a label holds what no host has, such as a dot.
fn host(name: &Name) -> Option<Host> {
    let mut text = String::new();
    for label in name.iter() {
        if !label.iter().all(|b| b.is_ascii_alphanumeric() || matches!(b, b'-' | b'_')) {
            return None;
        }
        text.push_str(std::str::from_utf8(label).ok()?);
        text.push('.');
    }
    // A name that reads as an address is none.
    Host::parse(&text).ok().filter(|host| host.ip().is_none())
}

/// The address that a name below `in-addr.arpa` asks for.
fn backwards(name: &Host) -> Option<Ipv4Addr> {
    let mut labels: Vec<&str> = name.as_str().strip_suffix(".in-addr.arpa")?.split('.').collect();
    labels.reverse();
    labels.join(".").parse().ok()
}

/// One message of a TCP client; `None` at the end, and where its length cannot be a question's.
async fn framed(stream: &mut TcpStream) -> Option<Vec<u8>> {
    let length = usize::from(stream.read_u16().await.ok()?);
    if !(HEADER..=LONGEST).contains(&length) {
        return None;
    }
    let mut message = vec![0; length];
    stream.read_exact(&mut message).await.ok()?;
    Some(message)
}
