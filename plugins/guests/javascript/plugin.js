// What requests to a notebook's API mean. A plugin labels, and never allows: policies and ceilings are written in its
// words. It throws a refusal, which is a denial, wherever it is not certain that its operations are all there is.

import { parse } from "./json.js";

const NAME = "notes";
const HOST = "notes.example";
const BODY_LIMIT = 64 * 1024;

const text = (name, doc) => ({ name, kind: "text", optional: false, doc });
const book = text("book", "The notebook.");
const id = text("id", "The note.");
const title = text("title", "Its title.");
const tags = { name: "tags", kind: "texts", optional: true, doc: "The note's tags." };

const action = (name, group, methods, doc, attributes, readExemption = null) =>
  ({ name, group, methods, readExemption, doc, attributes });

function describe() {
  return {
    name: NAME,
    version: "1.0.0",
    doc: "A notebook's API.",
    hosts: [HOST],
    headers: ["content-type", "x-http-method-override"],
    body: { methods: ["POST", "PUT"], limit: BODY_LIMIT },
    denials: "problem",
    actions: [
      action("note.list", "read", ["GET"], "Lists a notebook's notes.", [book]),
      action("note.read", "read", ["GET"], "Reads a note.", [book, id]),
      action("note.search", "read", ["POST"], "Searches all notebooks.", [], "What is searched for is in the body."),
      action("note.write", "write", ["PUT"], "Makes or replaces a note.", [book, id, title, tags]),
      action("note.delete", "delete", ["DELETE"], "Removes a note.", [book, id]),
    ],
  };
}

function classify(request) {
  // A server that heeds it would do something else than the method says.
  if (header(request, "x-http-method-override") !== null) {
    refuse("ambiguous", "x-http-method-override names another method");
  }
  const method = request.method === "HEAD" ? "GET" : request.method;
  const [version, kind, book, notes, id, ...rest] = request.segments;
  if (version !== "v1" || rest.length > 0) refuse("not-understood", "not a route of the notebook's API");
  if (method === "POST" && kind === "search" && book === undefined) {
    json(request, ["query"]);
    return [operation("note.search", {})];
  }
  if (kind !== "notebooks" || !book || notes !== "notes") refuse("not-understood", "not a route of the notebook's API");
  if (id === undefined && method === "GET") return [operation("note.list", { book })];
  if (!id) refuse("not-understood", "not a route of the notebook's API");
  switch (method) {
    case "GET": return [operation("note.read", { book, id })];
    case "PUT": return [write(book, id, json(request, ["title", "text", "tags"]))];
    case "DELETE": return [operation("note.delete", { book, id })];
    default: refuse("not-understood", `${method} of a note`);
  }
}

function write(book, id, { title, tags }) {
  if (typeof title !== "string") refuse("malformed", "a note's title is a text");
  if (tags === undefined) return operation("note.write", { book, id, title });
  const isTexts = Array.isArray(tags) && tags.every((tag) => typeof tag === "string");
  if (!isTexts) refuse("malformed", "tags are a list of texts");
  return operation("note.write", { book, id, title, tags: [...new Set(tags)].sort() });
}

// The body, an object without members that this plugin does not know: they might mean anything.
function json(request, known) {
  const type = header(request, "content-type");
  if (type === null || type.split(";")[0].trim().toLowerCase() !== "application/json") {
    refuse("not-understood", "the body is not application/json");
  }
  if (request.body.tag !== "complete") refuse("needs-body", `the body is absent, or has more than ${BODY_LIMIT} bytes`);
  const value = parse(request.body.val, refuse);
  const isObject = value !== null && typeof value === "object" && !Array.isArray(value);
  if (!isObject) refuse("malformed", "the body is not an object");
  const unknown = Object.keys(value).find((key) => !known.includes(key));
  if (unknown !== undefined) refuse("not-understood", "the body has a member that this plugin does not know");
  return value;
}

function header(request, name) {
  const values = request.headers.filter(([held]) => held === name).map(([, value]) => value);
  if (values.length > 1) refuse("ambiguous", `the header ${name} is there twice`);
  return values.length === 1 ? values[0] : null;
}

function operation(action, attributes) {
  const value = (held) => (Array.isArray(held) ? { tag: "texts", val: held } : { tag: "text", val: held });
  return { action, attributes: Object.entries(attributes).map(([name, held]) => [name, value(held)]) };
}

function refuse(tag, why) {
  throw { tag, val: why };
}

// Advice, narrowest first: what was denied, and the same for every note of the notebook.
function suggest(request, denied) {
  return denied.flatMap((operation) => {
    const whole = { ...operation, attributes: operation.attributes.filter(([name]) => name === "book") };
    const exact = { operation, doc: "Exactly what was denied." };
    return whole.attributes.length === 0 ? [exact] : [exact, { operation: whole, doc: "Every note of that notebook." }];
  });
}

// A request that `classify` reads as this operation, for people to look at.
function example({ operation: { action, attributes } }) {
  const held = Object.fromEntries(attributes.map(([name, value]) => [name, value.val]));
  const sample = (name) => (held[name] ?? name).replace(/\*+/g, "example").replace(/\?/g, "x");
  const [method, segments, body] = {
    "note.list": ["GET", ["notebooks", sample("book"), "notes"]],
    "note.read": ["GET", ["notebooks", sample("book"), "notes", sample("id")]],
    "note.search": ["POST", ["search"], { query: "example" }],
    "note.write": ["PUT", ["notebooks", sample("book"), "notes", sample("id")],
      { title: sample("title"), ...(held.tags && { tags: held.tags }) }],
    "note.delete": ["DELETE", ["notebooks", sample("book"), "notes", sample("id")]],
  }[action] ?? [];
  if (method === undefined) return null;
  const encoded = ["v1", ...segments].map(encodeURIComponent).join("/");
  // UTF-8, of which there is no other encoder here.
  const octets = body && encodeURIComponent(JSON.stringify(body)).match(/%..|./g);
  const bytes = octets && octets.map((c) => (c.length > 1 ? parseInt(c.slice(1), 16) : c.charCodeAt(0)));
  return {
    method, scheme: "https", host: HOST, port: 443, path: `/${encoded}`, segments: ["v1", ...segments], query: [],
    headers: body ? [["content-type", "application/json"]] : [],
    body: body ? { tag: "complete", val: new Uint8Array(bytes) } : { tag: "absent" },
  };
}

export const plugin = { describe, classify, suggest, example };
