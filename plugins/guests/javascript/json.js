// JSON with one reading. `JSON.parse` takes the last of two members with one name, and other parsers the first.

// The value in some bytes; `refuse(kind, why)` throws.
export function parse(bytes, refuse) {
  const text = utf8(bytes, refuse);
  let value;
  try {
    value = JSON.parse(text);
  } catch {
    refuse("malformed", "the body is not JSON");
  }
  if (repeats(text)) refuse("ambiguous", "two members of an object have the same name");
  return value;
}

function utf8(bytes, refuse) {
  const plain = (byte) => byte < 0x80 && byte !== 0x25;
  const encode = (byte) => (plain(byte) ? String.fromCharCode(byte) : `%${byte.toString(16).padStart(2, "0")}`);
  let encoded = "";
  for (const byte of bytes) encoded += encode(byte);
  try {
    return decodeURIComponent(encoded);
  } catch {
    return refuse("malformed", "the body is not UTF-8");
  }
}

// Whether an object of a valid text has a member twice, or two whose names differ in case alone: some servers take
// either. In valid JSON, a text before a colon is a member's name.
function repeats(text) {
  const open = [];
  for (const [token] of text.matchAll(/"(?:[^"\\]|\\.)*"\s*:?|[{}[\]]/g)) {
    if (token === "{" || token === "[") open.push(new Set());
    else if (token === "}" || token === "]") open.pop();
    else if (token.endsWith(":")) {
      const name = JSON.parse(token.slice(0, -1)).toUpperCase().toLowerCase();
      if (open.at(-1).has(name)) return true;
      open.at(-1).add(name);
    }
  }
  return false;
}
