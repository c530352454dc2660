//! Percent-encoding, both ways.

/// Appends `text` as a part of a path: what may stand in a segment as itself does, except `;`, which some servers read
/// as the start of parameters.
pub(crate) fn encode_segment(text: &str, path: &mut String) {
    for byte in text.bytes() {
        if byte.is_ascii_alphanumeric() || b"-._~!$&'()*+,:=@".contains(&byte) {
            path.push(char::from(byte));
        } else {
            path.push('%');
            path.extend([byte >> 4, byte & 15].map(|digit| char::from(hex(digit))));
        }
    }
}

/// Decodes one name or value; `+` is a space where `plus` says so. `None` where a `%` is not followed by two
/// hexadecimal digits, or where what comes out is not UTF-8. For values within a request that are encoded once more;
/// the host has decoded segments and query.
#[must_use]
pub fn decode(text: &[u8], plus: bool) -> Option<String> {
    let mut bytes = Vec::with_capacity(text.len());
    let mut rest = text;
    while let Some((&byte, after)) = rest.split_first() {
        rest = after;
        bytes.push(match byte {
            b'%' => {
                let (&[high, low], after) = rest.split_first_chunk()?;
                rest = after;
                digit(high)? << 4 | digit(low)?
            }
            b'+' if plus => b' ',
            _ => byte,
        });
    }
    String::from_utf8(bytes).ok()
}

fn hex(digit: u8) -> u8 {
    if digit < 10 { b'0' + digit } else { b'A' + digit - 10 }
}

fn digit(byte: u8) -> Option<u8> {
    match byte {
        b'0'..=b'9' => Some(byte - b'0'),
        b'a'..=b'f' => Some(byte - b'a' + 10),
        b'A'..=b'F' => Some(byte - b'A' + 10),
        _ => None,
    }
}
