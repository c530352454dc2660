//! Which service and which region a host is.

use crate::services::{self, Service};
use narrowgate_plugin::{Refusal, Result};

/// What a host's name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Endpoint<'a> {
    /// Object storage. A bucket in the name is the virtual-host style; no region is the global endpoint, behind which a
    /// bucket may be anywhere.
    S3 { bucket: Option<&'a str>, region: Option<&'a str> },
    /// A service that speaks the query or the JSON protocol.
    Api { service: &'static Service, region: Option<&'a str> },
}

impl<'a> Endpoint<'a> {
    pub(crate) fn of(host: &'a str) -> Result<Self> {
        let name = host
            .strip_suffix(".amazonaws.com")
            .ok_or_else(|| Refusal::not_understood(format!("{host:?} is not below amazonaws.com")))?;
        s3(name)
            .or_else(|| api(name))
            .ok_or_else(|| Refusal::not_understood(format!("{host:?} is not an endpoint that this plugin knows")))
    }
}

/// From the right, because a bucket's name may have dots: `[bucket.]s3[-fips][.dualstack][.region]`, and the older
/// `[bucket.]s3-region`.
fn s3(name: &str) -> Option<Endpoint<'_>> {
    let (rest, region) = match last(name) {
        (rest, label) if is_region(label) => (rest?, Some(label)),
        _ => (name, None),
    };
    let (rest, dualstack) = match last(rest) {
        (Some(rest), "dualstack") => (rest, true),
        _ => (rest, false),
    };
    let (bucket, service) = last(rest);
    let region = match (service, region) {
        ("s3", region) if !dualstack || region.is_some() => region,
        ("s3-fips", Some(region)) => Some(region),
        ("s3-accelerate", None) => None,
        (older, None) if !dualstack => Some(older.strip_prefix("s3-").filter(|region| is_region(region))?),
        _ => return None,
    };
    if let Some(bucket) = bucket {
        crate::s3::is_bucket(bucket).then_some(())?;
    }
    Some(Endpoint::S3 { bucket, region })
}

fn api(name: &str) -> Option<Endpoint<'_>> {
    let (name, region) = match last(name) {
        (rest, label) if is_region(label) => (rest?, Some(label)),
        _ => (name, None),
    };
    let service = services::named(name.strip_suffix("-fips").unwrap_or(name))?;
    (region.is_some() || service.global).then_some(Endpoint::Api { service, region })
}

fn last(name: &str) -> (Option<&str>, &str) {
    name.rsplit_once('.').map_or((None, name), |(rest, last)| (Some(rest), last))
}

/// `us-east-1`, `us-gov-west-1`: words and a number, joined by `-`.
fn is_region(label: &str) -> bool {
    let mut parts = label.rsplit('-');
    let number = parts.next().unwrap_or_default();
    let words: Vec<&str> = parts.collect();
    (1..=2).contains(&number.len())
        && number.bytes().all(|byte| byte.is_ascii_digit())
        && (2..=3).contains(&words.len())
        && words.iter().all(|word| word.len() >= 2 && word.bytes().all(|byte| byte.is_ascii_lowercase()))
        && words.last().is_some_and(|first| first.len() == 2)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn s3_endpoints() {
        check_s3("s3.amazonaws.com", None, None);
        check_s3("s3.eu-central-1.amazonaws.com", None, Some("eu-central-1"));
        check_s3("s3-eu-west-1.amazonaws.com", None, Some("eu-west-1"));
        check_s3("s3.dualstack.us-gov-west-1.amazonaws.com", None, Some("us-gov-west-1"));
        check_s3("s3-fips.us-east-2.amazonaws.com", None, Some("us-east-2"));
        check_s3("site.s3.amazonaws.com", Some("site"), None);
        check_s3("site.s3.us-east-1.amazonaws.com", Some("site"), Some("us-east-1"));
        check_s3("a.b.site.s3.dualstack.us-east-1.amazonaws.com", Some("a.b.site"), Some("us-east-1"));
        check_s3("site.s3-us-west-2.amazonaws.com", Some("site"), Some("us-west-2"));
        check_s3("site.s3-accelerate.amazonaws.com", Some("site"), None);
        check_s3("abc.s3.us-east-1.s3.amazonaws.com", Some("abc.s3.us-east-1"), None);
        check_s3("abc.s3.s3.us-east-1.amazonaws.com", Some("abc.s3"), Some("us-east-1"));
    }

    #[test]
    fn other_endpoints() {
        for host in ["dynamodb.us-east-1", "kms-fips.eu-west-1", "api.ecr.us-east-1", "iam", "sts", "sts.us-east-1"] {
            let host = format!("{host}.amazonaws.com");
            assert!(matches!(Endpoint::of(&host), Ok(Endpoint::Api { .. })), "{host}");
        }
        for host in [
            "dynamodb.amazonaws.com",
            "x.execute-api.us-east-1.amazonaws.com",
            "123456789012.dkr.ecr.us-east-1.amazonaws.com",
            "site.s3-website.eu-west-1.amazonaws.com",
            "site.s3-website-eu-west-1.amazonaws.com",
            "123456789012.s3-control.us-east-1.amazonaws.com",
            "ap-123456789012.s3-accesspoint.us-east-1.amazonaws.com",
            "ec2-1-2-3-4.compute-1.amazonaws.com",
            "lb-1.us-east-1.elb.amazonaws.com",
            "site.s3.evil.amazonaws.com",
            "a.s3.us-east-1.amazonaws.com",
            "-bad.s3.us-east-1.amazonaws.com",
            "us-east-1.amazonaws.com",
            "amazonaws.com",
            "s3.amazonaws.com.evil.example",
        ] {
            assert!(matches!(Endpoint::of(host), Err(Refusal::NotUnderstood(_))), "{host}: {:?}", Endpoint::of(host));
        }
    }

    fn check_s3(host: &str, bucket: Option<&str>, region: Option<&str>) {
        assert_eq!(Endpoint::of(host), Ok(Endpoint::S3 { bucket, region }), "{host}");
    }
}
