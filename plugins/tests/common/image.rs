//! Values of the plugin world as they lie in a guest's memory.

use narrowgate_core::vocabulary::{DenialForm, Group, Kind, Label, LabelValue, Manifest};

/// What a guest answers to everything.
pub enum Answer {
    Operations(Vec<Label>),
    /// The refusal's place in the variant, and its text.
    Refusal(u8, String),
}

/// Memory from an address on.
pub struct Image {
    base: usize,
    bytes: Vec<u8>,
}

/// A pointer and a length.
type Slice = [u32; 2];

impl Image {
    pub fn at(base: usize) -> Image {
        Image { base, bytes: Vec::new() }
    }

    /// As in a WAT string.
    pub fn escaped(&self) -> String {
        self.bytes.iter().map(|byte| format!("\\{byte:02x}")).collect()
    }

    fn put(&mut self, bytes: &[u8]) -> u32 {
        while !(self.base + self.bytes.len()).is_multiple_of(8) {
            self.bytes.push(0);
        }
        let at = self.base + self.bytes.len();
        self.bytes.extend(bytes);
        at as u32
    }

    fn string(&mut self, text: &str) -> Slice {
        [self.put(text.as_bytes()), text.len() as u32]
    }

    fn list(&mut self, records: Vec<Record>) -> Slice {
        let bytes: Vec<u8> = records.iter().flat_map(|record| record.0.clone()).collect();
        [self.put(&bytes), records.len() as u32]
    }

    fn strings(&mut self, texts: &[String]) -> Slice {
        let records = texts.iter().map(|text| Record::of(8).slice(0, self.string(text))).collect();
        self.list(records)
    }

    pub fn vocabulary(&mut self, manifest: &Manifest) -> u32 {
        let Manifest { name, version, doc, hosts, headers, body, denials, actions } = manifest;
        let mut record = Record::of(68)
            .slice(0, self.string(name))
            .slice(8, self.string(version))
            .slice(16, self.string(doc))
            .slice(24, self.strings(hosts))
            .slice(32, self.strings(headers));
        if let Some(need) = body {
            record = record.byte(40, 1).slice(44, self.strings(&need.methods)).word(52, need.limit);
        }
        let form = match denials {
            DenialForm::Problem => 0,
            DenialForm::JsonRpc => 1,
            DenialForm::Git => 2,
        };
        let mut of_actions = Vec::new();
        for action in actions {
            let group = match action.group {
                Group::Read => 0,
                Group::Write => 1,
                Group::Delete => 2,
                Group::Admin => 3,
            };
            let mut attributes = Vec::new();
            for attribute in &action.attributes {
                let kind = match attribute.kind {
                    Kind::Text => 0,
                    Kind::Integer => 1,
                    Kind::Flag => 2,
                    Kind::Texts => 3,
                    Kind::Fields => 4,
                };
                let name = self.string(&attribute.name);
                let record = Record::of(20).slice(0, name).byte(8, kind).byte(9, u8::from(attribute.optional));
                attributes.push(record.slice(12, self.string(&attribute.doc)));
            }
            let mut record = Record::of(48).slice(0, self.string(&action.name)).byte(8, group);
            record = record.slice(12, self.strings(&action.methods));
            if let Some(why) = &action.read_exemption {
                record = record.byte(20, 1).slice(24, self.string(why));
            }
            of_actions.push(record.slice(32, self.string(&action.doc)).slice(40, self.list(attributes)));
        }
        let record = record.byte(56, form).slice(60, self.list(of_actions));
        self.put(&record.0)
    }

    pub fn answer(&mut self, answer: &Answer) -> u32 {
        let record = match answer {
            Answer::Operations(labels) => {
                let operations = labels.iter().map(|label| self.operation(label)).collect();
                Record::of(16).slice(4, self.list(operations))
            }
            Answer::Refusal(kind, why) => Record::of(16).byte(0, 1).byte(4, *kind).slice(8, self.string(why)),
        };
        self.put(&record.0)
    }

    pub fn suggestions(&mut self, suggestions: &[(Label, String)]) -> u32 {
        let mut records = Vec::new();
        for (label, doc) in suggestions {
            let Record(mut bytes) = self.operation(label);
            bytes.resize(24, 0);
            records.push(Record(bytes).slice(16, self.string(doc)));
        }
        let list = self.list(records);
        self.put(&Record::of(8).slice(0, list).0)
    }

    /// A request over TLS, with one pair in its query, no headers and no body.
    pub fn example(&mut self, example: Option<[&str; 4]>) -> u32 {
        let mut record = Record::of(76);
        if let Some([method, host, path, query]) = example {
            let pair = Record::of(16).slice(0, self.string(query)).slice(8, self.string("1"));
            record = record
                .byte(0, 1)
                .slice(4, self.string(method))
                .slice(12, self.string("https"))
                .slice(20, self.string(host))
                .word(28, 443)
                .slice(32, self.string(path))
                .slice(48, self.list(vec![pair]));
        }
        self.put(&record.0)
    }

    fn operation(&mut self, label: &Label) -> Record {
        let mut attributes = Vec::new();
        for (name, value) in &label.attributes {
            let (kind, slice) = match value {
                LabelValue::Text(text) => (0, self.string(text)),
                LabelValue::Integer(digits) => (1, self.string(digits)),
                LabelValue::Flag(flag) => (2, [u32::from(*flag), 0]),
                LabelValue::Texts(texts) => (3, self.strings(texts)),
                LabelValue::Fields(fields) => {
                    let mut records = Vec::new();
                    for (name, text) in fields {
                        records.push(Record::of(16).slice(0, self.string(name)).slice(8, self.string(text)));
                    }
                    (4, self.list(records))
                }
            };
            attributes.push(Record::of(20).slice(0, self.string(name)).byte(8, kind).slice(12, slice));
        }
        Record::of(16).slice(0, self.string(&label.action)).slice(8, self.list(attributes))
    }
}

/// A record, zero where nothing is said.
struct Record(Vec<u8>);

impl Record {
    fn of(size: usize) -> Record {
        Record(vec![0; size])
    }

    fn byte(mut self, at: usize, value: u8) -> Record {
        self.0[at] = value;
        self
    }

    fn word(mut self, at: usize, value: u32) -> Record {
        self.0[at..at + 4].copy_from_slice(&value.to_le_bytes());
        self
    }

    fn slice(self, at: usize, [pointer, length]: Slice) -> Record {
        self.word(at, pointer).word(at + 4, length)
    }
}
