//! Rows of requests against what they mean.

use crate::Aws;
use narrowgate_plugin::{Operation, Plugin, Request, Suggestion, testing};

#[test]
fn vocabulary_is_loadable() {
    testing::check_vocabulary::<Aws>();
}

/// `METHOD url | header: value | … <- body`, without `https://` and `.amazonaws.com`.
#[track_caller]
fn check(request: &str, expect: &str) {
    let (head, body) = request.split_once(" <- ").unwrap_or((request, ""));
    let mut lines = head.split(" | ");
    let (method, url) = lines.next().unwrap().split_once(' ').unwrap();
    let (host, rest) = url.split_at(url.find('/').unwrap());
    let headers: String = lines.map(|line| format!("{line}\n")).collect();
    testing::check::<Aws>(format!("{method} https://{host}.amazonaws.com{rest} HTTP/1.1\n{headers}\n{body}"), expect);
}

#[test]
fn objects_by_path_and_by_host() {
    let at = "bucket=site key=docs/a.md";
    check("GET s3/site/docs/a.md", &format!("s3.object.read {at}"));
    check("HEAD s3.eu-west-1/site/docs/a.md", &format!("s3.object.read {at} region=eu-west-1"));
    check("GET site.s3/docs/a.md", &format!("s3.object.read {at}"));
    check("GET site.s3.eu-west-1/docs/a.md?versionId=v1", &format!("s3.object.read {at} region=eu-west-1 version=v1"));
    check("PUT site.s3/docs/a.md <- hello", &format!("s3.object.write {at}"));
    check("DELETE site.s3/docs/a.md", &format!("s3.object.delete {at}"));
    check("POST site.s3/docs/a.md?uploads", &format!("s3.object.write {at}"));
    check("PUT site.s3/docs/a.md?partNumber=1&uploadId=x", &format!("s3.object.write {at}"));
    check("DELETE site.s3/docs/a.md?uploadId=x", &format!("s3.upload.abort {at}"));
    check("GET site.s3/docs/a.md?acl", &format!("s3.object.read {at} subresource=acl"));
    check("PUT site.s3/docs/a.md?acl", &format!("s3.object.admin {at} subresource=acl"));
    check("PUT site.s3/docs/a.md?tagging", &format!("s3.object.tag {at}"));
    check("POST site.s3/docs/a.md?select&select-type=2 <- <x/>", &format!("s3.object.read {at} subresource=select"));
    check("PUT site.s3/docs/", "s3.object.write bucket=site key=docs/");
    check("GET site.s3/a%20b%2Bc%2Fd", "s3.object.read bucket=site key=a b+c/d");
    check("GET a.b.site.s3/x", "s3.object.read bucket=a.b.site key=x");
}

#[test]
fn buckets() {
    check("GET s3/", "s3.buckets.list");
    check("GET s3/site", "s3.object.list bucket=site");
    check("GET s3/site/?list-type=2&prefix=docs/", "s3.object.list bucket=site prefix=docs/");
    check("GET site.s3/?versions", "s3.object.list bucket=site");
    check("HEAD site.s3/", "s3.bucket.read bucket=site");
    check("GET site.s3/?policy", "s3.bucket.read bucket=site subresource=policy");
    check("PUT site.s3/?policy <- {}", "s3.bucket.admin bucket=site subresource=policy");
    check("DELETE site.s3/?publicAccessBlock", "s3.bucket.admin bucket=site subresource=publicAccessBlock");
    check("PUT s3.eu-west-1/site", "s3.bucket.create bucket=site region=eu-west-1");
    check("DELETE s3/site/", "s3.bucket.delete bucket=site");
    check("POST site.s3/?delete <- <Delete/>", "s3.object.delete_many bucket=site");
}

#[test]
fn copies_read_their_source() {
    let copy = |source: &str| format!("PUT site.s3/a | x-amz-copy-source: {source}");
    let write = "s3.object.write bucket=site key=a";
    check(&copy("/secret/keys/k.pem"), &format!("{write} + s3.object.read bucket=secret key=keys/k.pem"));
    check(
        &copy("secret/keys%2Fk%20.pem?versionId=7"),
        &format!("{write} + s3.object.read bucket=secret key=keys/k .pem version=7"),
    );
    check(
        "PUT site.s3/a?partNumber=1&uploadId=u | x-amz-copy-source: secret/k",
        &format!("{write} + s3.object.read bucket=secret key=k"),
    );
    check(&copy("secret/a+b"), "ambiguous");
    check(&copy("secret/a%3FversionId=7"), "ambiguous");
    check(&copy("secret/../other/k"), "ambiguous");
    check(&copy("secret"), "malformed");
    check(&copy("secret/"), "malformed");
    check(&copy("secret/k?versionId=7&x=y"), "malformed");
    check(&copy("secret/%zz"), "malformed");
    check(&copy("arn:aws:s3:us-east-1:1:accesspoint/x/object/k"), "malformed");
    check("PUT site.s3/a | x-amz-copy-source: x/y | x-amz-copy-source: secret/k", "ambiguous");
    check("GET site.s3/a | x-amz-copy-source: secret/k", "malformed");
}

#[test]
fn headers_that_do_what_has_a_request_of_its_own() {
    check(
        "PUT site.s3/a | x-amz-acl: public-read | x-amz-grant-read: id=1",
        "s3.object.write bucket=site key=a + s3.object.admin bucket=site key=a subresource=acl",
    );
    check("PUT site.s3/a | x-amz-tagging: k=v", "s3.object.write bucket=site key=a + s3.object.tag bucket=site key=a");
    check(
        "PUT site.s3/ | x-amz-acl: public-read-write",
        "s3.bucket.create bucket=site + s3.bucket.admin bucket=site subresource=acl",
    );
    check(
        "DELETE site.s3/a?versionId=1 | x-amz-bypass-governance-retention: true",
        "s3.object.delete bucket=site key=a version=1 + s3.object.admin bucket=site key=a subresource=retention",
    );
    check("GET site.s3/a | x-amz-acl: private", "s3.object.read bucket=site key=a");
}

#[test]
fn storage_that_two_could_read_two_ways() {
    check("GET site.s3/?acl&policy", "ambiguous");
    check("PUT site.s3/a?acl&tagging", "ambiguous");
    check("GET site.s3/a?versionId=1&versionId=2", "ambiguous");
    check("GET site.s3/a+b", "ambiguous");
    check("GET site.s3/docs/..%2F..%2Fsecret", "ambiguous");
    check("GET site.s3/?unknown", "not-understood");
    check("PUT site.s3/a?x-amz-acl=public-read", "not-understood");
    check("PUT site.s3/a?x-amz-copy-source=secret/k", "not-understood");
    check("PUT site.s3/a?renameObject", "not-understood");
    check("POST site.s3/ <- x", "not-understood");
    check("GET s3/ab", "not-understood");
    check("GET s3/?Action=ListUsers", "not-understood");
    check("GET s3/arn:aws:s3:x/k", "not-understood");
}

#[test]
fn what_signs_a_request_is_in_no_attribute() {
    let signed = "X-Amz-Algorithm=AWS4-HMAC-SHA256&X-Amz-Credential=AKIA%2F20130524&X-Amz-Date=20130524T000000Z\
                  &X-Amz-Expires=86400&X-Amz-SignedHeaders=host&X-Amz-Signature=aeeed9bb&X-Amz-Security-Token=t0ken";
    check(&format!("GET site.s3/test.txt?{signed}"), "s3.object.read bucket=site key=test.txt");
    check(&format!("GET iam/?Action=ListUsers&Version=2010-05-08&{signed}"), "api.admin service=iam action=ListUsers");
    let denied = testing::classify::<Aws>(format!("GET https://site.s3.amazonaws.com/a?{signed}&X-Amz-Signature=zzz"));
    let why = denied.unwrap_err().to_string();
    assert!(why.contains("X-Amz-Signature") && !why.contains("zzz") && !why.contains("aeeed9bb"), "{why}");
}

const FORM: &str = "content-type: application/x-www-form-urlencoded; charset=utf-8";
const JSON: &str = "content-type: application/x-amz-json-1.0";

#[test]
fn query_protocol() {
    check(
        &format!("POST ec2.us-east-1/ | {FORM} <- Action=DescribeInstances&Version=2016-11-15"),
        "api.read service=ec2 region=us-east-1 action=DescribeInstances",
    );
    check(
        "GET ec2.us-east-1/?Action=TerminateInstances&InstanceId.1=i-1",
        "api.delete service=ec2 region=us-east-1 action=TerminateInstances",
    );
    check(&format!("POST iam/ | {FORM} <- Action=ListUsers"), "api.admin service=iam action=ListUsers");
    check(
        &format!("POST sts.eu-west-1/ | {FORM} <- Action=AssumeRole"),
        "api.admin service=sts region=eu-west-1 action=AssumeRole",
    );
    check(
        &format!("POST sns.us-east-1/ | {FORM} <- Action=Publish&TopicArn=arn%3Aaws%3Asns%3A1&Message=secret"),
        "api.write service=sns region=us-east-1 action=Publish resource=arn:aws:sns:1",
    );
    check(
        &format!("POST sqs.us-east-1/123/jobs | {FORM} <- Action=SendMessage&MessageBody=x"),
        "api.write service=sqs region=us-east-1 action=SendMessage resource=123/jobs",
    );
    let both = "POST sqs.us-east-1/123/jobs";
    check(&format!("{both} | {FORM} <- Action=SendMessage&QueueUrl=https%3A%2F%2Fsqs%2F123%2Fother"), "ambiguous");
    check(&format!("POST ec2.us-east-1/?Action=DescribeInstances | {FORM} <- Action=TerminateInstances"), "ambiguous");
    check(&format!("POST ec2.us-east-1/ | {FORM} <- Action=DescribeInstances&Action=TerminateInstances"), "ambiguous");
    check(&format!("POST ec2.us-east-1/ | {FORM} <- Action=DescribeInstances&action=TerminateInstances"), "ambiguous");
    check(&format!("POST ec2.us-east-1/ | {FORM} <- Action=DescribeInstances;Action=TerminateInstances"), "ambiguous");
    check("GET ec2.us-east-1/?Action=DescribeInstances&Action=TerminateInstances", "ambiguous");
    check("GET ec2.us-east-1/?Action=DescribeInstances <- Action=TerminateInstances", "ambiguous");
    check(&format!("POST ec2.us-east-1/ | {FORM} <- Action=Describe%20x"), "malformed");
    check(&format!("POST ec2.us-east-1/ | {FORM} <- Action={}", "x".repeat(1 << 20)), "needs-body");
    check("POST ec2.us-east-1/ | content-type: multipart/form-data <- Action=DescribeInstances", "not-understood");
    check(&format!("POST ec2.us-east-1/other | {FORM} <- Action=DescribeInstances"), "not-understood");
    check(&format!("POST x.execute-api.us-east-1/ | {FORM} <- Action=DescribeInstances"), "not-understood");
    check("GET ec2.us-east-1/", "not-understood");
}

#[test]
fn json_protocol() {
    let dynamodb = |action: &str, body: &str| {
        format!("POST dynamodb.us-east-1/ | {JSON} | x-amz-target: DynamoDB_20120810.{action} <- {body}")
    };
    let at = "service=dynamodb region=us-east-1";
    check(
        &dynamodb("GetItem", r#"{"TableName":"Pets","Key":{}}"#),
        &format!("api.read {at} action=GetItem resource=Pets"),
    );
    check(&dynamodb("PutItem", r#"{"TableName":"Pets"}"#), &format!("api.write {at} action=PutItem resource=Pets"));
    check(
        &dynamodb("DeleteTable", r#"{"TableName":"Pets"}"#),
        &format!("api.delete {at} action=DeleteTable resource=Pets"),
    );
    check(
        &dynamodb("ExecuteStatement", r#"{"Statement":"DELETE FROM x"}"#),
        &format!("api.admin {at} action=ExecuteStatement"),
    );
    check(&dynamodb("ListTables", "{}"), &format!("api.read {at} action=ListTables"));
    check(
        &dynamodb("BatchGetItem", r#"{"RequestItems":{"Pets":{},"Owners":{}}}"#),
        &format!("api.read {at} action=BatchGetItem resource=Pets + api.read {at} action=BatchGetItem resource=Owners"),
    );
    check(
        &dynamodb(
            "BatchWriteItem",
            r#"{"RequestItems":{"Pets":[{"PutRequest":{}},{"DeleteRequest":{}}],"Owners":[{"PutRequest":{}}]}}"#,
        ),
        &format!(
            "api.write {at} action=BatchWriteItem resource=Pets + api.delete {at} action=BatchWriteItem resource=Pets + \
             api.write {at} action=BatchWriteItem resource=Owners"
        ),
    );
    let many: Vec<String> = (0..17).map(|number| format!("\"t{number}\":{{}}")).collect();
    check(&dynamodb("BatchGetItem", &format!(r#"{{"RequestItems":{{{}}}}}"#, many.join(","))), "not-understood");
    check(
        &dynamodb("BatchWriteItem", r#"{"RequestItems":{"Pets":[{"PutRequest":{},"DeleteRequest":{}}]}}"#),
        "malformed",
    );
    check(&dynamodb("BatchWriteItem", r#"{"RequestItems":{}}"#), "malformed");
    check(&dynamodb("GetItem", r#"{"TableName":"Pets","TableName":"Secrets"}"#), "ambiguous");
    check(&dynamodb("GetItem", r#"{"TableName":"Pets","tablename":"Secrets"}"#), "ambiguous");
    check(&dynamodb("GetItem", "{"), "malformed");
    check(&dynamodb("Get Item", "{}"), "not-understood");
    check(&dynamodb("GetItem", &format!(r#"{{"TableName":"Pets","x":"{}"}}"#, "x".repeat(1 << 20))), "needs-body");
}

#[test]
fn json_protocol_that_two_could_read_two_ways() {
    let target = "x-amz-target: TrentService.Decrypt";
    check(
        &format!("POST kms.us-east-1/ | {JSON} | {target} <- {{}}"),
        "api.admin service=kms region=us-east-1 action=Decrypt",
    );
    check(&format!("POST kms.us-east-1/?Action=ListKeys | {JSON} | {target} <- {{}}"), "ambiguous");
    check(
        &format!("POST kms.us-east-1/ | {JSON} | {target} | x-amz-target: TrentService.ListKeys <- {{}}"),
        "ambiguous",
    );
    check(&format!("POST kms.us-east-1/ | {FORM} | {target} <- Action=ListKeys"), "ambiguous");
    check(&format!("POST kms.us-east-1/ | {JSON} | x-amz-target: AmazonSSM.GetParameter <- {{}}"), "not-understood");
    check(&format!("GET kms.us-east-1/ | {JSON} | {target}"), "not-understood");
    check(&format!("POST kms.us-east-1/ | {JSON}; charset=utf-16 | {target} <- {{}}"), "ambiguous");
    check(
        "POST ec2.us-east-1/ | content-type: application/x-www-form-urlencoded; charset=utf-7 <- Action=RunInstances",
        "ambiguous",
    );
    check(&format!("POST ec2.us-east-1/ | {JSON} | x-amz-target: .DescribeInstances <- {{}}"), "not-understood");
    check(&format!("POST kms.us-east-1/ | {JSON} <- {{}}"), "not-understood");
    check(
        &format!(
            "POST secretsmanager.us-east-1/ | {JSON} | x-amz-target: secretsmanager.GetSecretValue <- {{\"SecretId\":\"prod\"}}"
        ),
        "api.admin service=secretsmanager region=us-east-1 action=GetSecretValue resource=prod",
    );
}

#[test]
fn every_action_has_an_example() {
    let declared = Aws::describe().actions;
    for action in &declared {
        let operation = action.attributes.iter().fold(Operation::new(&action.name), |operation, attribute| {
            match attribute.name.as_str() {
                "region" => operation.text("region", "eu-west-1"),
                "bucket" => operation.text("bucket", "site"),
                "key" => operation.text("key", "docs/a+b c.md"),
                "prefix" => operation.text("prefix", "docs/"),
                "version" => operation.text("version", "v1"),
                "subresource" => operation.text("subresource", "acl"),
                "service" => operation.text("service", "dynamodb"),
                "action" if action.name == "api.read" => operation.text("action", "GetItem"),
                "action" if action.name == "api.write" => operation.text("action", "PutItem"),
                "action" if action.name == "api.delete" => operation.text("action", "DeleteItem"),
                "action" => operation.text("action", "ExecuteStatement"),
                "resource" => operation.text("resource", "Pets"),
                other => panic!("{other}: what would be an example of it?"),
            }
        });
        for advice in Aws::suggest(&Request::https("GET", "s3.amazonaws.com"), &[operation]) {
            assert!(Aws::example(&advice).is_some(), "{advice:?}");
        }
        let least = Suggestion::new(Operation::new(&action.name), "");
        assert!(Aws::example(&least).is_some(), "{}", action.name);
    }
}

#[test]
fn examples_of_both_protocols() {
    let call =
        |service: &str, action: &str| Operation::new("api.admin").text("service", service).text("action", action);
    for operation in [
        call("iam", "ListUsers"),
        call("sns", "AddPermission").text("resource", "arn:aws:sns:x&y=z"),
        call("kms", "Decrypt"),
    ] {
        assert!(Aws::example(&Suggestion::new(operation.clone(), "")).is_some(), "{operation:?}");
    }
    let wrong = Operation::new("api.read").text("service", "iam").text("action", "ListUsers");
    assert_eq!(Aws::example(&Suggestion::new(wrong, "")), None, "iam is api.admin");
}

#[test]
fn cases_are_answered_from_the_vocabulary() {
    for (_, case) in testing::cases(concat!(env!("CARGO_MANIFEST_DIR"), "/cases")) {
        let _ = testing::classify::<Aws>(case);
    }
}
