//! What an agent posts: operations that would change the policy in force.

use serde::{Serialize, Serializer};
use serde_json::{Value as Json, json};

use crate::pattern::HostPattern;
use crate::policy::{Allow, Decoder, Entry, ParseErrors, Policy, Rule, Spot, Traffic};
use crate::request::Port;
use crate::tree::Node;

/// The largest body that is read.
pub const MAX_BYTES: usize = 64 * 1024;
/// How many operations one proposal may have.
pub const MAX_OPERATIONS: usize = 16;

/// A proposal as posted to `policy.local`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Proposal {
    /// Why, in the agent's words: 1 to 2,000 characters.
    pub intent_summary: String,
    /// The denials it answers.
    pub denial_ids: Vec<String>,
    /// At least one.
    pub operations: Vec<Operation>,
}

/// One change to a policy.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Operation {
    /// A new entry.
    AddRule {
        /// Its key in `network_policies`.
        rule_name: String,
        /// The entry.
        rule: Entry,
    },
    /// An entry goes.
    RemoveRule {
        /// Its key.
        rule_name: String,
    },
    /// More `rules` for an inspected endpoint that has rules already.
    AddAllowRules {
        /// The entry's key.
        rule_name: String,
        /// The endpoint's host, exactly as the entry has it.
        host: HostPattern,
        /// One of the endpoint's ports.
        port: Port,
        /// What is added.
        rules: Vec<Rule>,
    },
}

/// What is wrong with a proposal.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{pointer}: {message}")]
pub struct ProposalError {
    /// A JSON pointer; empty for the whole body.
    pub pointer: String,
    /// What is wrong and what would be right.
    pub message: String,
}

/// Why an operation does not fit the policy it would change.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum MergeError {
    /// The key is taken.
    #[error("the name {0:?} is taken by another rule; choose another name, or use addAllowRules")]
    NameTaken(String),
    /// Nothing has this key.
    #[error("there is no rule named {0:?}")]
    NoSuchRule(String),
    /// The entry has no such endpoint, or it is not one that has rules.
    #[error("the rule {0:?} has no inspected endpoint {1} with a list of rules; use addRule")]
    NoSuchEndpoint(String, String),
    /// Nothing would change.
    #[error("the rule {0:?} already says this")]
    NoChange(String),
    /// The policy that would result is none.
    #[error("{0}")]
    Invalid(String),
}

impl Proposal {
    /// Reads a body. Duplicate keys, unknown fields and wrong types are errors.
    ///
    /// # Errors
    /// The first thing that is wrong, with its JSON pointer.
    pub fn parse(json: &[u8]) -> Result<Proposal, ProposalError> {
        let whole = |message: String| ProposalError { pointer: String::new(), message };
        if json.len() > MAX_BYTES {
            return Err(whole("larger than 64 KiB".to_owned()));
        }
        let root = Node::parse_json(json).map_err(|error| whole(error.message))?;
        let mut decoder = Decoder::of_proposal();
        let proposal = decoder.proposal(Spot::root(&root));
        decoder.finish(proposal).map_err(|errors| first(&errors))
    }
}

fn first(errors: &ParseErrors) -> ProposalError {
    let error = errors.errors().first();
    ProposalError {
        pointer: error.map(|e| e.field.clone()).unwrap_or_default(),
        message: error.map(|e| e.message.clone()).unwrap_or_default(),
    }
}

impl Decoder<'_> {
    fn proposal(&mut self, spot: Spot<'_>) -> Option<Proposal> {
        let fields = self.fields(spot, &["intent_summary", "denial_ids", "operations"])?;
        let spot = self.required(&fields, "intent_summary")?;
        let intent = self.text(&spot)?;
        let printable = |c: char| !c.is_control() || c == '\n';
        if intent.trim().is_empty() || intent.chars().count() > 2000 || !intent.chars().all(printable) {
            return self.fail(&spot, "say in 1 to 2,000 characters what this is for");
        }
        let mut denial_ids = Vec::new();
        if let Some(spot) = fields.get("denial_ids") {
            let spots = self.list(&spot)?;
            if spots.len() > 100 {
                return self.fail(&spot, "at most 100 denials");
            }
            for spot in spots {
                denial_ids.push(self.line(&spot, 100)?.to_owned());
            }
        }
        let spot = self.required(&fields, "operations")?;
        let spots = self.list(&spot)?;
        if spots.is_empty() || spots.len() > MAX_OPERATIONS {
            return self.fail(&spot, format!("1 to {MAX_OPERATIONS} operations"));
        }
        let mut operations = Vec::new();
        for spot in spots {
            operations.push(self.operation(spot)?);
        }
        Some(Proposal { intent_summary: intent.to_owned(), denial_ids, operations })
    }

    fn operation(&mut self, spot: Spot<'_>) -> Option<Operation> {
        let whole = Spot { node: spot.node, pointer: spot.pointer.clone() };
        let fields = self.fields(spot, &["addRule", "removeRule", "addAllowRules"])?;
        match (fields.get("addRule"), fields.get("removeRule"), fields.get("addAllowRules")) {
            (Some(spot), None, None) => {
                let fields = self.fields(spot, &["ruleName", "rule"])?;
                let spot = self.required(&fields, "ruleName")?;
                let name = self.text(&spot)?;
                self.entry_key(&spot, name)?;
                let spot = self.required(&fields, "rule")?;
                Some(Operation::AddRule { rule_name: name.to_owned(), rule: self.entry(spot, name)? })
            }
            (None, Some(spot), None) => {
                let fields = self.fields(spot, &["ruleName"])?;
                let spot = self.required(&fields, "ruleName")?;
                Some(Operation::RemoveRule { rule_name: self.text(&spot)?.to_owned() })
            }
            (None, None, Some(spot)) => {
                let fields = self.fields(spot, &["ruleName", "host", "port", "rules"])?;
                let spot = self.required(&fields, "ruleName")?;
                let rule_name = self.text(&spot)?.to_owned();
                let spot = self.required(&fields, "host")?;
                let host = self.host(&spot)?;
                let spot = self.required(&fields, "port")?;
                let port = self.port(&spot)?;
                let spot = self.required(&fields, "rules")?;
                Some(Operation::AddAllowRules { rule_name, host, port, rules: self.rules(&spot)? })
            }
            _ => self.fail(&whole, "exactly one of addRule, removeRule and addAllowRules"),
        }
    }
}

impl Operation {
    /// The key of the entry it is about.
    pub fn rule_name(&self) -> &str {
        match self {
            Operation::AddRule { rule_name, .. }
            | Operation::RemoveRule { rule_name }
            | Operation::AddAllowRules { rule_name, .. } => rule_name,
        }
    }

    /// The operation in its wire form.
    pub fn to_json(&self) -> Json {
        match self {
            Operation::AddRule { rule_name, rule } => {
                json!({ "addRule": { "ruleName": rule_name, "rule": rule.to_json() } })
            }
            Operation::RemoveRule { rule_name } => json!({ "removeRule": { "ruleName": rule_name } }),
            Operation::AddAllowRules { rule_name, host, port, rules } => {
                let rules: Vec<Json> = rules.iter().map(|rule| json!({ "allow": rule.to_json() })).collect();
                json!({ "addAllowRules": {
                    "ruleName": rule_name, "host": host.as_str(), "port": port, "rules": rules } })
            }
        }
    }

    /// The policy that would be in force: `base` with this change.
    ///
    /// # Errors
    /// Says why the change does not fit `base`; `base` is untouched.
    pub fn apply(&self, base: &Policy) -> Result<Policy, MergeError> {
        let mut policy = base.clone();
        match self {
            Operation::AddRule { rule_name, rule } => match policy.entries.get(rule_name) {
                Some(existing) if existing == rule => return Err(MergeError::NoChange(rule_name.clone())),
                Some(_) => return Err(MergeError::NameTaken(rule_name.clone())),
                None => drop(policy.entries.insert(rule_name.clone(), rule.clone())),
            },
            Operation::RemoveRule { rule_name } => {
                policy.entries.remove(rule_name).ok_or_else(|| MergeError::NoSuchRule(rule_name.clone()))?;
            }
            Operation::AddAllowRules { rule_name, host, port, rules } => {
                let missing = || MergeError::NoSuchRule(rule_name.clone());
                let entry = policy.entries.get_mut(rule_name).ok_or_else(missing)?;
                let list = entry.endpoints.iter_mut().find_map(|endpoint| match &mut endpoint.traffic {
                    Traffic::Rest(rest) if endpoint.host == *host && endpoint.ports.contains(port) => {
                        match &mut rest.allow {
                            Allow::Rules(list) => Some(list),
                            Allow::Access(_) => None,
                        }
                    }
                    _ => None,
                });
                let place = || MergeError::NoSuchEndpoint(rule_name.clone(), format!("{}:{port}", host.as_str()));
                let list = list.ok_or_else(place)?;
                let before = list.len();
                for rule in rules {
                    if !list.contains(rule) {
                        list.push(rule.clone());
                    }
                }
                if list.len() == before {
                    return Err(MergeError::NoChange(rule_name.clone()));
                }
            }
        }
        match policy.clash() {
            Some(clash) => Err(MergeError::Invalid(clash.to_string())),
            None => Ok(policy),
        }
    }
}

impl Serialize for Operation {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        self.to_json().serialize(serializer)
    }
}
