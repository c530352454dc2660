//! Documents as clients send them, and as attackers would.

use narrowgate_plugin::testing::{self, brief, check, check_example, check_vocabulary};
use narrowgate_plugin::{Operation, Plugin, Refusal, Request, Value, quoted};

use crate::GraphQl;

/// A POST of one document.
fn post(body: &str) -> String {
    format!("POST https://api.example/graphql HTTP/1.1\ncontent-type: application/json\n\n{body}")
}

fn envelope(document: &str, rest: &str) -> String {
    post(&format!("{{\"query\":{}{rest}}}", quoted(document)))
}

/// What a document asks for, without what is the same everywhere.
#[track_caller]
fn document(document: &str, expect: &str) {
    with(document, "", expect);
}

/// The same, with further members of the request.
#[track_caller]
fn with(document: &str, rest: &str, expect: &str) {
    let answer = testing::classify::<GraphQl>(envelope(document, rest));
    let short =
        brief(&answer).replace(" endpoint=/graphql", "").replace(" arguments={}", "").replace(" structured=[]", "");
    assert_eq!(short, expect, "{document}: {answer:?}");
}

#[test]
fn the_vocabulary_loads() {
    check_vocabulary::<GraphQl>();
}

#[test]
fn root_fields_by_their_own_names() {
    document("{ viewer { login } }", "query field=viewer");
    document("query { a b }", "query field=a + query field=b");
    document("query Q { viewer { login } }", "query operation_name=Q field=viewer");
    document("mutation { addStar(id: \"R_1\") { id } }", "mutation field=addStar arguments={id:R_1}");
    document("subscription { issueAdded { id } }", "subscription field=issueAdded");
    document("{ __schema { types { name } } __typename }", "query field=__schema + query field=__typename");
    document("{ viewer: deleteEverything }", "query field=deleteEverything");
    document(
        "mutation viewer { query: deleteRepo(name: \"x\") }",
        "mutation operation_name=viewer field=deleteRepo arguments={name:x}",
    );
    document("{ a @skip(if: true) b @include(if: false) }", "query field=a + query field=b");
    document("\"\"\"What it does\"\"\" query Q { a }", "query operation_name=Q field=a");
}

#[test]
fn fragments_at_the_root() {
    document(
        "{ ...F } fragment F on Query { a: secret ...G } fragment G on Query { b }",
        "query field=secret + query field=b",
    );
    document("{ ... { secret } ... on Query @include(if: true) { other } ... @skip(if: true) { third } }", {
        "query field=secret + query field=other + query field=third"
    });
    document(
        "mutation { ...F ok } fragment F on Mutation { deleteRepo }",
        "mutation field=deleteRepo + mutation field=ok",
    );
    document("{ ...F ...F } fragment F on Query { a }", "query field=a");
    // Fields of a nested fragment are no root fields; unused fragments ask for nothing.
    document("{ a { ...F } } fragment F on A { secret } fragment G on Query { other }", "query field=a");
    document("{ ...F } fragment F on Query { ...G } fragment G on Query { ...F }", "malformed");
    document("{ ...F } fragment F on Query { a { ...F } }", "malformed");
    document("{ a } fragment F on Query { b { c { ...F } } }", "malformed");
    document("{ ...Missing }", "malformed");
    document("{ a { b { ...Missing } } }", "malformed");
    document("query Q { a { ...Missing } } fragment F on Query { a }", "malformed");
    document("{ a } fragment F on Query { ...Missing }", "malformed");
    document("{ ...F } fragment F on Query { a } fragment F on Query { b }", "ambiguous");
    document("{ ...F } fragment F($x: Int = 1) on Query { a(x: $x) }", "malformed");
    document("{ a } fragment on on Query { a }", "malformed");
}

#[test]
fn fragments_that_multiply_stay_cheap() {
    let mut bomb = "{ ...F0 }".to_owned();
    for n in 0..200 {
        bomb.push_str(&format!(" fragment F{n} on Query {{ ...F{m} ...F{m} ...F{m} }}", m = n + 1));
    }
    bomb.push_str(" fragment F200 on Query { a }");
    document(&bomb, "query field=a");
}

#[test]
fn which_operation_runs() {
    let two = "query Read { viewer } mutation Write { deleteRepo }";
    with(two, r#","operationName":"Read""#, "query operation_name=Read field=viewer");
    with(two, r#","operationName":"Write""#, "mutation operation_name=Write field=deleteRepo");
    with(two, "", "ambiguous");
    with(two, r#","operationName":null"#, "ambiguous");
    with(two, r#","operationName":"""#, "ambiguous");
    with(two, r#","operationName":"Other""#, "malformed");
    with("query Read { viewer }", r#","operationName":"Write""#, "malformed");
    with("{ viewer }", r#","operationName":"viewer""#, "malformed");
    with("query Read { a } mutation Read { b }", r#","operationName":"Read""#, "ambiguous");
    with("{ a } mutation Write { b }", r#","operationName":"Write""#, "ambiguous");
    document("fragment F on Query { a }", "malformed");
    document("", "malformed");
}

#[test]
fn arguments() {
    document(
        r#"{ f(a: "x", b: 5, c: 1.50, d: true, e: OPEN, f: -0) }"#,
        "query field=f arguments={a:x,b:5,c:1.5,d:true,e:OPEN,f:0}",
    );
    document(r#"{ f(a: [1], b: {c: 1}, d: null, e: "two\nlines") }"#, "query field=f structured=[a,b,d,e]");
    document("{ f(a: \"\"\"\n  block\n  \"\"\") }", "query field=f arguments={a:block}");
    document("{ f(a: \"\\u0061\\u{62}\") }", "query field=f arguments={a:ab}");
    document("{ f(path: \"docs/../secret\") }", "query field=f structured=[path]");
    document("{ f(a: 9007199254740993) }", "ambiguous");
    document("{ f(a: 1, a: 2) }", "ambiguous");
    document("{ f(a: {b: 1, b: 2}) }", "ambiguous");
    document("{ a(x: 1) { b(y: 2) } }", "query field=a arguments={x:1}");
}

#[test]
fn variables() {
    let query = "query($id: ID!, $n: Int = 10, $s: [Int!] = [1]) { f(id: $id, n: $n, s: $s) }";
    with(query, r#","variables":{"id":"R_1"}"#, "query field=f arguments={id:R_1,n:10} structured=[s]");
    with(query, r#","variables":{"id":7,"n":3,"s":[]}"#, "query field=f arguments={id:7,n:3} structured=[s]");
    with(query, r#","variables":{"id":"a","n":null}"#, "query field=f arguments={id:a} structured=[n,s]");
    with(query, r#","variables":null"#, "query field=f arguments={n:10} structured=[s]");
    with(query, r#","variables":{"id":"a","id":"b"}"#, "ambiguous");
    with(query, r#","variables":{"id":"a","i\u0064":"b"}"#, "ambiguous");
    with(query, r#","variables":"{}""#, "malformed");
    document("{ f(id: $id) }", "malformed");
    document("query($a: Int, $a: Int) { f }", "ambiguous");
    document("query($a: Int = $b) { f }", "malformed");
}

#[test]
fn what_is_no_executable_document() {
    for broken in [
        "{",
        "{}",
        "{ a",
        "{ a }}",
        "query",
        "{ a() }",
        "{ a(b) }",
        "{ a: }",
        "{ a b: c: d }",
        "type A { b: Int }",
        "schema { query: Q }",
        "extend type A { b: Int }",
        "{ a } type A { b: Int }",
        "{ a ... }",
        "{ ...on }",
        "query Q($a) { b }",
        "{ a(b: $) }",
        "query ($a: Int!!) { b }",
        "Query { a }",
        "\"doc\" { a }",
        "{ a } \u{0}",
        "{ a } }",
        "query Q() { a }",
    ] {
        document(broken, "malformed");
    }
    document(&format!("{}a{}", "{ a ".repeat(80), "}".repeat(80)), "not-understood");
    document(&format!("{{ f(a: {}{}) }}", "[".repeat(80), "]".repeat(80)), "not-understood");
    document(&format!("query($a: {}A{}) {{ f }}", "[".repeat(80), "]".repeat(80)), "not-understood");
    document(&format!("{{ {} }}", "a ".repeat(40_000)), "not-understood");
}

#[test]
fn batches() {
    let one = |answer: &str| format!("{answer} endpoint=/graphql field=a arguments={{}} structured=[]");
    check::<GraphQl>(post(r#"[{"query":"{a}"}]"#), &one("query"));
    check::<GraphQl>(
        post(r#"[{"query":"{a}"},{"query":"mutation{a}"}]"#),
        &format!("{} + {}", one("query"), one("mutation")),
    );
    check::<GraphQl>(post(&format!("[{}]", vec![r#"{"query":"{a}"}"#; 17].join(","))), "not-understood");
    document(&format!("{{ {} }}", "a ".repeat(17)), "not-understood");
    assert_eq!(
        testing::classify::<GraphQl>(envelope(&format!("{{ {} }}", "a ".repeat(16)), "")).map(|all| all.len()),
        Ok(16)
    );
    check::<GraphQl>(post("[]"), "malformed");
    check::<GraphQl>(post(r#"[[{"query":"{a}"}]]"#), "malformed");
    check::<GraphQl>(post(r#"[{"query":"{a}"},null]"#), "malformed");
    check::<GraphQl>(post(r#"[{"query":"{a}"},{"extensions":{"persistedQuery":{}}}]"#), "not-understood");
}

#[test]
fn one_document_and_no_other() {
    let hash = r#""extensions":{"persistedQuery":{"version":1,"sha256Hash":"ecf4edb46db40b5132295c0291d62fb65d6759a9eedfa4d5d612dd5ec54a6b38"}}"#;
    check::<GraphQl>(post(&format!("{{{hash}}}")), "not-understood");
    with("{ a }", &format!(",{hash}"), "ambiguous");
    with("{ a }", r#","extensions":{"PersistedQuery":{}}"#, "ambiguous");
    with("{ a }", r#","extensions":{"tracing":true}"#, "query field=a");
    with("{ a }", r#","extensions":null"#, "query field=a");
    with("{ a }", r#","extensions":[]"#, "malformed");
    with("{ a }", r#","query":"{ b }""#, "ambiguous");
    with("{ a }", r#","qu\u0065ry":"{ b }""#, "ambiguous");
    with("{ a }", r#","Query":"{ b }""#, "ambiguous");
    with("{ a }", ",\"extension\u{17f}\":{}", "ambiguous");
    with("{ a }", r#","documentId":"x""#, "not-understood");
    check::<GraphQl>(post(r#"{"query":null}"#), "not-understood");
    check::<GraphQl>(post(r#"{"query":{}}"#), "malformed");
    check::<GraphQl>(post("null"), "malformed");
    check::<GraphQl>(post(""), "needs-body");
    check::<GraphQl>(post("{\"query\":\"{ a }\"} "), "query endpoint=/graphql field=a arguments={} structured=[]");
    check::<GraphQl>(post("{\"query\":\"{ a }\"}x"), "malformed");
}

#[test]
fn how_it_comes() {
    let of = |kind: &str| {
        format!("POST https://api.example/v1/graphql HTTP/1.1\ncontent-type: {kind}\n\n{{\"query\":\"{{a}}\"}}")
    };
    let read = "query endpoint=/v1/graphql field=a arguments={} structured=[]";
    check::<GraphQl>(of("application/json"), read);
    check::<GraphQl>(of("Application/JSON; charset=UTF-8"), read);
    check::<GraphQl>(of("application/graphql-response+json"), read);
    check::<GraphQl>(of("application/json; charset=utf-16"), "ambiguous");
    check::<GraphQl>(of("application/json\ncontent-type: text/plain"), "ambiguous");
    check::<GraphQl>(of("multipart/form-data; boundary=x"), "not-understood");
    check::<GraphQl>(of("application/x-www-form-urlencoded"), "not-understood");
    check::<GraphQl>(of("application/graphql"), "not-understood");
    check::<GraphQl>("POST https://api.example/graphql\n\n{\"query\":\"{a}\"}", "not-understood");
    check::<GraphQl>(
        "PUT https://api.example/graphql\ncontent-type: application/json\n\n{\"query\":\"{a}\"}",
        "not-understood",
    );
    for key in ["query", "operationName", "variables", "extensions", "QUERY"] {
        let both = post("{\"query\":\"{a}\"}").replace("/graphql ", &format!("/graphql?{key}=x "));
        check::<GraphQl>(both, "ambiguous");
    }
    check::<GraphQl>(post("{\"query\":\"{a}\"}").replace("/graphql ", "/graphql?tenant=x "), {
        "query endpoint=/graphql field=a arguments={} structured=[]"
    });
}

#[test]
fn gets_read() {
    let get = |query: &str| format!("GET https://api.example/graphql?{query} HTTP/1.1\n\n");
    check::<GraphQl>(get("query=%7Ba%7D"), "query endpoint=/graphql field=a arguments={} structured=[]");
    check::<GraphQl>(
        get("query=query(%24x:Int)%7Ba(x:%24x)%7D&variables=%7B%22x%22:1%7D"),
        "query endpoint=/graphql field=a arguments={x:1} structured=[]",
    );
    check::<GraphQl>(
        get("query=subscription%7Ba%7D"),
        "subscription endpoint=/graphql field=a arguments={} structured=[]",
    );
    check::<GraphQl>(get("query=mutation%7Ba%7D"), "malformed");
    check::<GraphQl>(get("query=query%20Q%7Ba%7D%20mutation%20M%7Bb%7D&operationName=M"), "malformed");
    check::<GraphQl>(get("query=%7Ba%7D&query=%7Bb%7D"), "ambiguous");
    check::<GraphQl>(get("query=%7Ba%7D&Query=%7Bb%7D"), "ambiguous");
    check::<GraphQl>(get("query=%7Ba%7D&variables=x"), "malformed");
    check::<GraphQl>(get("extensions=%7B%22persistedQuery%22:%7B%7D%7D"), "not-understood");
    check::<GraphQl>(get("query=%7Ba%7D&extensions=%7B%22persistedQuery%22:%7B%7D%7D"), "ambiguous");
    check::<GraphQl>(get(""), "not-understood");
    check::<GraphQl>(format!("{}{{\"query\":\"mutation{{b}}\"}}", get("query=%7Ba%7D")), "ambiguous");
    check::<GraphQl>(
        get("query=%7Ba%7D").replace("GET", "HEAD"),
        "query endpoint=/graphql field=a arguments={} structured=[]",
    );
}

#[test]
fn refusals_keep_secrets() {
    for secret in [
        envelope("{ login(password: \"hunter2\" }", ""),
        envelope("{ a }", r#","variables":"hunter2""#),
        envelope("{ a }", r#","hunter2":1"#),
        post("{\"query\": hunter2}"),
    ] {
        let refusal = testing::classify::<GraphQl>(&secret).unwrap_err();
        assert!(!refusal.reason().contains("hunter2"), "{refusal:?}");
    }
}

#[test]
fn the_cases() {
    let expect = [
        ("attack-alias", "mutation deleteRepository"),
        ("attack-batch", "query viewer + mutation deleteRepository"),
        ("attack-case-of-query", "ambiguous"),
        ("attack-cycle", "malformed"),
        ("attack-fragment", "query viewer + query secrets"),
        ("attack-get-mutation", "malformed"),
        ("attack-query-twice", "ambiguous"),
        ("attack-two-operations", "ambiguous"),
        ("attack-url-and-body", "ambiguous"),
        ("batch", "query viewer + query rateLimit"),
        ("get", "query repository"),
        ("introspection", "query __schema"),
        ("mutation-variables", "mutation addReaction"),
        ("operation-name", "query hero"),
        ("persisted-hash", "not-understood"),
        ("query", "query hero"),
        ("query-arguments", "query repository"),
        ("subscription", "subscription reviewAdded"),
        ("upload", "not-understood"),
    ];
    let brief =
        |operation: &Operation| format!("{} {}", operation.action, operation.text_of("field").unwrap_or_default());
    let cases = testing::cases(concat!(env!("CARGO_MANIFEST_DIR"), "/cases"));
    let answers: Vec<_> = (cases.iter())
        .map(|(name, case)| match testing::classify::<GraphQl>(case) {
            Ok(operations) => (name.as_str(), operations.iter().map(brief).collect::<Vec<_>>().join(" + ")),
            refusal => (name.as_str(), testing::brief(&refusal)),
        })
        .collect();
    let expect: Vec<_> = expect.into_iter().map(|(name, answer)| (name, answer.to_owned())).collect();
    assert_eq!(answers, expect);
}

#[test]
fn examples_read_back() {
    let of = |action| Operation::new(action).text("endpoint", "/api/graphql");
    let arguments = vec![("id".to_owned(), "R_1".to_owned()), ("text".to_owned(), "a \"b\" \\".to_owned())];
    for action in ["query", "mutation", "subscription"] {
        check_example::<GraphQl>(
            &of(action).text("field", "f").fields("arguments", vec![]).texts("structured", vec![]),
        );
        check_example::<GraphQl>(
            &of(action)
                .text("operation_name", "Q")
                .text("field", "f")
                .fields("arguments", arguments.clone())
                .texts("structured", vec!["input".into()]),
        );
    }
    assert_eq!(GraphQl::describe().actions.len(), 3);
}

#[test]
fn suggestions_are_examples_too() {
    let denied =
        testing::classify::<GraphQl>(envelope("mutation M { addStar(id: \"R_1\", in: []) { id } }", "")).unwrap();
    let suggestions = GraphQl::suggest(&Request::https("POST", "api.example"), &denied);
    let [exact, any] = suggestions.as_slice() else { panic!("{suggestions:?}") };
    assert_eq!(exact.operation.value("operation_name"), None);
    assert_eq!(exact.operation.value("arguments"), Some(&Value::Fields(vec![("id".into(), "R_1".into())])));
    assert_eq!(any.operation.value("arguments"), None);
    for suggestion in [exact, any] {
        let operations: Result<_, Refusal> = GraphQl::classify(&GraphQl::example(suggestion).unwrap());
        assert_eq!(operations.unwrap()[0].text_of("field"), Some("addStar"));
    }
}
