//! Headers that repeat what the body says (from 2026-07-28). Gateways route by them, servers run the body: where the two
//! differ, what runs is not what was routed.

use narrowgate_plugin::{Json, Refusal, Request, Result};

use crate::message::{Call, Message};
use crate::methods;

/// Refuses headers that say something else than the messages.
pub(crate) fn check(request: &Request, messages: &[Message], batch: bool) -> Result<()> {
    let (method, name) = (request.header_one("mcp-method")?, request.header_one("mcp-name")?);
    let version = request.header_one("mcp-protocol-version")?;
    for message in messages {
        if let Message::Request(call) | Message::Notification(call) = message {
            check_version(version, &call.params)?;
        }
    }
    if method.is_none() && name.is_none() {
        return Ok(());
    }
    let call = match messages {
        [Message::Request(call) | Message::Notification(call)] if !batch => call,
        _ => return Err(Refusal::ambiguous("mcp-method and mcp-name are about one request, and the body is none")),
    };
    if method.is_some_and(|method| method != call.method) {
        return Err(Refusal::ambiguous("mcp-method and the body's `method` differ"));
    }
    match name {
        Some(name) if !is_name_of(name, call) => Err(Refusal::ambiguous("mcp-name and what the body names differ")),
        _ => Ok(()),
    }
}

fn check_version(header: Option<&str>, params: &Json) -> Result<()> {
    let meta = methods::member(params, "_meta")?;
    let version =
        meta.map(|meta| methods::member(meta, "io.modelcontextprotocol/protocolVersion")).transpose()?.flatten();
    match (header, version.and_then(Json::as_text)) {
        (Some(header), Some(version)) if header != version => {
            Err(Refusal::ambiguous("mcp-protocol-version and the body's protocolVersion differ"))
        }
        _ => Ok(()),
    }
}

fn is_name_of(header: &str, call: &Call) -> bool {
    let named = methods::find(&call.method).and_then(|method| method.mirrored(&call.params));
    let Some(named) = named else { return false };
    let encoded = header.strip_prefix("=?base64?").and_then(|rest| rest.strip_suffix("?="));
    encoded.map_or(header == named, |encoded| encoded == base64(named.as_bytes()))
}

fn base64(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 64] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
    let digit = |bits: u32| DIGITS.get((bits & 63) as usize).copied().unwrap_or_default() as char;
    let mut text = String::new();
    for chunk in bytes.chunks(3) {
        let bits = (0..3).fold(0, |bits, at| bits << 8 | u32::from(chunk.get(at).copied().unwrap_or_default()));
        let digits = [digit(bits >> 18), digit(bits >> 12), digit(bits >> 6), digit(bits)];
        text.extend(digits.iter().take(chunk.len() + 1));
        text.extend(core::iter::repeat_n('=', 3 - chunk.len()));
    }
    text
}

#[cfg(test)]
mod tests {
    #[test]
    fn base64() {
        for (plain, encoded) in
            [("", ""), ("f", "Zg=="), ("fo", "Zm8="), ("foo", "Zm9v"), ("Hello, 世界", "SGVsbG8sIOS4lueVjA==")]
        {
            assert_eq!(super::base64(plain.as_bytes()), encoded);
        }
    }
}
