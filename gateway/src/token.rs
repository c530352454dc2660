//! Bearer tokens: who calls, in which role. A token is 256 random bits; only its SHA-256 is kept, and a caller is
//! found by that hash, so that the comparison tells nothing about a token that is nearly right.

use data_encoding::{BASE32_NOPAD, BASE64URL_NOPAD};
use ring::digest::{SHA256, digest};
use ring::rand::{SecureRandom, SystemRandom};

/// What a token's holder may do. The roles do not contain each other: who writes policies and keeps sandboxes
/// does not thereby approve proposals.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Role {
    /// A proxy: reads its own bundle, submits and reads its own proposals.
    Sandbox,
    /// A person who decides proposals.
    Reviewer,
    /// Creates and deletes sandboxes.
    Admin,
}

impl Role {
    pub(crate) fn as_str(self) -> &'static str {
        match self {
            Role::Sandbox => "sandbox",
            Role::Reviewer => "reviewer",
            Role::Admin => "admin",
        }
    }

    pub(crate) fn parse(text: &str) -> Option<Role> {
        [Role::Sandbox, Role::Reviewer, Role::Admin].into_iter().find(|role| role.as_str() == text)
    }
}

/// A token in the clear. It has no `Debug` and no `Display`: it leaves by [`Token::reveal`] alone.
pub(crate) struct Token(String);

impl Token {
    /// A new token; the prefix lets people and secret scanners recognise it.
    pub(crate) fn generate(role: Role) -> Result<Token, NoRandomness> {
        Ok(Token(format!("ng_{}_{}", role.as_str(), BASE64URL_NOPAD.encode(&random::<32>()?))))
    }

    /// A token as it was presented or read from a file; `None` where it is not one.
    pub(crate) fn parse(text: &str) -> Option<Token> {
        let (role, secret) = text.strip_prefix("ng_")?.split_once('_')?;
        Role::parse(role)?;
        let bytes = BASE64URL_NOPAD.decode(secret.as_bytes()).ok()?;
        (bytes.len() == 32).then(|| Token(text.to_owned()))
    }

    /// What is stored, and looked up.
    pub(crate) fn hash(&self) -> Vec<u8> {
        digest(&SHA256, self.0.as_bytes()).as_ref().to_vec()
    }

    /// The text, for the one answer or file that hands it over.
    pub(crate) fn reveal(&self) -> &str {
        &self.0
    }
}

/// A new id: the prefix, `_` and 80 random bits.
pub(crate) fn new_id(prefix: &str) -> Result<String, NoRandomness> {
    Ok(format!("{prefix}_{}", BASE32_NOPAD.encode(&random::<10>()?).to_ascii_lowercase()))
}

/// The operating system gave no random bytes.
#[derive(Debug, thiserror::Error)]
#[error("the operating system gave no random bytes")]
pub(crate) struct NoRandomness;

fn random<const N: usize>() -> Result<[u8; N], NoRandomness> {
    let mut bytes = [0; N];
    SystemRandom::new().fill(&mut bytes).map_err(|_| NoRandomness)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used, reason = "tests")]
    use super::*;

    #[test]
    fn a_token_reads_back_and_hashes_alike() {
        for role in [Role::Sandbox, Role::Reviewer, Role::Admin] {
            let token = Token::generate(role).unwrap();
            let again = Token::parse(token.reveal()).unwrap();
            assert_eq!(token.hash(), again.hash());
            assert_ne!(token.hash(), Token::generate(role).unwrap().hash());
        }
    }

    #[test]
    fn what_is_not_a_token() {
        let good = Token::generate(Role::Admin).unwrap().reveal().to_owned();
        for bad in [
            "",
            "ng_",
            "ng_admin_",
            "ng_admin_AAAA",
            "ng_root_AAAA",
            &good[1..],
            &good[..good.len() - 1],
            &format!("{good}="),
            &format!(" {good}"),
        ] {
            assert!(Token::parse(bad).is_none(), "{bad:?}");
        }
    }

    #[test]
    fn ids_differ() {
        let (a, b) = (new_id("p").unwrap(), new_id("p").unwrap());
        assert_ne!(a, b);
        assert_eq!(a.len(), 18);
        assert!(a.starts_with("p_"));
    }
}
