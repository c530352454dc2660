//! Rows of requests against what they mean.

use crate::OpenAi;
use crate::routes::{ROUTES, Reads};
use narrowgate_plugin::{Kind, Operation, Plugin, Request, Suggestion, testing};

#[test]
fn vocabulary_is_loadable() {
    testing::check_vocabulary::<OpenAi>();
}

#[test]
fn every_route_has_an_action() {
    for row in ROUTES {
        assert!(OpenAi::describe().actions.iter().any(|action| action.name == row.action), "{}", row.pattern);
    }
}

/// `METHOD path <- body`, below `https://api.openai.com/v1/`.
#[track_caller]
fn check(request: &str, expect: &str) {
    let (line, body) = request.split_once(" <- ").unwrap_or((request, ""));
    let (method, path) = line.split_once(' ').unwrap();
    let case = format!("{method} https://api.openai.com/v1/{path} HTTP/1.1\ncontent-type: application/json\n\n{body}");
    testing::check::<OpenAi>(case, expect);
}

#[track_caller]
fn check_chat(members: &str, expect: &str) {
    check(
        &format!(
            r#"POST chat/completions <- {{"model":"gpt-4o","messages":[{{"role":"user","content":"hush"}}]{members}}}"#
        ),
        expect,
    );
}

const CHAT: &str = "chat.create endpoint=chat/completions model=gpt-4o";

#[test]
fn chats() {
    check_chat("", &format!("{CHAT} stream=false tools=[] uses_tools=false uses_files=false"));
    check_chat(r#","stream":true"#, &format!("{CHAT} stream=true tools=[] uses_tools=false uses_files=false"));
    check_chat(
        r#","tools":[{"type":"function","function":{"name":"web_search","parameters":{"properties":{"file_id":{}}}}}]"#,
        &format!("{CHAT} stream=false tools=[function:web_search] uses_tools=true uses_files=false"),
    );
    check_chat(
        r#","functions":[{"name":"f"}],"web_search_options":{},"plugins":[{"id":"web"}]"#,
        &format!("{CHAT} stream=false tools=[function:f,plugin:web,web_search] uses_tools=true uses_files=false"),
    );
}

#[test]
fn files_that_go_along() {
    let with = |content: &str| {
        format!(r#"POST chat/completions <- {{"model":"gpt-4o","messages":[{{"role":"user","content":[{content}]}}]}}"#)
    };
    let expect = |uses: bool| format!("{CHAT} stream=false tools=[] uses_tools=false uses_files={uses}");
    check(&with(r#"{"type":"text","text":"the file_id is file"}"#), &expect(false));
    check(&with(r#"{"type":"file","file":{"file_id":"file-1"}}"#), &expect(true));
    check(&with(r#"{"type":"image_url","image_url":{"url":"data:image/png;base64,eA=="}}"#), &expect(true));
    check(&with(r#"{"type":"input_audio","input_audio":{"data":"","format":"wav"}}"#), &expect(true));
    check(&with(r#"{"type":"unheard-of","File_Id":"file-1"}"#), &expect(true));
    check(
        r#"POST responses <- {"model":"gpt-5","input":"x","tools":[{"type":"file_search","vector_store_ids":["vs_1"]}]}"#,
        "responses.create endpoint=responses model=gpt-5 stream=false tools=[file_search] uses_tools=true uses_files=true",
    );
}

#[test]
fn tools_that_the_server_runs() {
    let with = |tool: &str| format!(r#"POST responses <- {{"model":"gpt-5","input":"x","tools":[{tool}]}}"#);
    let at = "responses.create endpoint=responses model=gpt-5 stream=false";
    let expect = |tool: &str| format!("{at} tools=[{tool}] uses_tools=true uses_files=false");
    check(&with(r#"{"type":"web_search"}"#), &expect("web_search"));
    check(&with(r#"{"type":"function","name":"f"}"#), &expect("function:f"));
    check(&with(r#"{"type":"code_interpreter","container":{"type":"auto"}}"#), &expect("code_interpreter"));
    let mcp = r#"{"type":"mcp","server_label":"ok","server_url":"https://evil.example/mcp?key=s3cret"}"#;
    check(&with(mcp), &expect("mcp:https://evil.example/mcp"));
    check(&with(r#"{"type":"mcp","connector_id":"connector_gmail"}"#), &expect("mcp:connector_gmail"));
    check(&with(r#"{"type":"mcp","server_label":"x"}"#), "malformed");
    check(&with(r#"{"type":"mcp","server_url":"https://user:pass@x.example"}"#), "malformed");
    check(&with(r#"{"type":"function","name":"a","function":{"name":"b"}}"#), "ambiguous");
    check(&with(r#"{"type":"a b"}"#), "not-understood");
    check(&with(r#"{"name":"f"}"#), "malformed");
    check(r#"POST responses <- {"prompt":{"id":"pmpt_1"}}"#, "not-understood");
}

#[test]
fn chats_that_two_could_read_two_ways() {
    check_chat(r#","model":"gpt-4o-mini""#, "ambiguous");
    check_chat(r#","Model":"gpt-4o-mini""#, "ambiguous");
    check_chat(r#","\u006dodel":"gpt-4o-mini""#, "ambiguous");
    check_chat(r#","tools":[],"tools":[{"type":"web_search"}]"#, "ambiguous");
    check_chat(r#","models":["other/model"]"#, "not-understood");
    check_chat(r#","fallbacks":[]"#, "not-understood");
    check_chat(r#","stream":"yes""#, "malformed");
    check_chat(r#","tools":{}"#, "malformed");
    check(r#"POST chat/completions?model=o1 <- {"model":"gpt-4o"}"#, "ambiguous");
    check(r#"POST chat/completions <- {"model":""}"#, "malformed");
    check(r#"POST chat/completions <- {"model":["gpt-4o"]}"#, "malformed");
    check("POST chat/completions <- [{}]", "malformed");
    check("POST chat/completions <- {} {}", "malformed");
    check("POST chat/completions", "needs-body");
    check(&format!(r#"POST chat/completions <- {{"model":"gpt-4o","x":"{}"}}"#, "x".repeat(2 << 20)), "needs-body");
    check("POST chat/completions/ <- {}", "not-understood");
    check("GET models <- {}", "ambiguous");
    testing::check::<OpenAi>(
        "POST https://x.example/v1/chat/completions\ncontent-type: text/plain\n\n{}",
        "not-understood",
    );
}

#[test]
fn the_rest() {
    check(
        r#"POST embeddings <- {"model":"e-3","input":"secret"}"#,
        "embeddings.create endpoint=embeddings model=e-3 stream=false",
    );
    check(
        r#"POST completions <- {"model":"m","prompt":"x"}"#,
        "completions.create endpoint=completions model=m stream=false",
    );
    check(r#"POST images/generations <- {"prompt":"x"}"#, "images.create endpoint=images/generations stream=false");
    check(r#"POST batches <- {"input_file_id":"f","endpoint":"/v1/embeddings"}"#, "batches.create endpoint=embeddings");
    check(
        r#"POST fine_tuning/jobs <- {"model":"m","training_file":"f"}"#,
        "fine_tuning.create endpoint=fine_tuning/jobs model=m stream=false",
    );
    check(r#"POST uploads <- {"purpose":"fine-tune","filename":"x"}"#, "files.upload purpose=fine-tune");
    check("GET files/file-1/content", "files.download id=file-1");
    check("DELETE files/file-1", "files.delete id=file-1");
    check("GET models", "models.read");
    check("DELETE models/ft:gpt-4o:acme", "models.delete model=ft:gpt-4o:acme");
    check("GET models/maker%2Fmodel", "models.read model=maker/model");
    check("POST vector_stores/vs_1/search <- {}", "vector_stores.search id=vs_1");
    check(
        r#"POST threads/th_1/runs <- {"assistant_id":"a"}"#,
        "runs.create id=th_1 endpoint=threads/runs stream=false",
    );
    check(
        r#"POST threads/runs <- {"assistant_id":"a","model":"m","tools":[{"type":"code_interpreter"}]}"#,
        "runs.create endpoint=threads/runs model=m stream=false tools=[code_interpreter] uses_tools=true",
    );
    check("POST fine_tuning/checkpoints/ft-1/permissions <- {}", "fine_tuning.admin id=ft-1");
    check("GET files/..%2Fmodels", "not-understood");
    check("POST realtime/client_secrets <- {}", "not-understood");
    check("GET organization/admin_api_keys", "not-understood");
    testing::check::<OpenAi>("GET https://openrouter.ai/api/v1/models", "models.read");
    testing::check::<OpenAi>("GET https://api.groq.com/openai/v1/models", "models.read");
    testing::check::<OpenAi>("GET https://x.example/v2/models", "not-understood");
}

#[track_caller]
fn check_form(path: &str, body: &str, expect: &str) {
    let body = body.replace('\n', "\r\n");
    let case = format!(
        "POST https://api.openai.com/v1/{path} HTTP/1.1\ncontent-type: multipart/form-data; boundary=XX\n\n{body}"
    );
    testing::check::<OpenAi>(case, expect);
}

#[test]
fn forms() {
    let field = |head: &str, content: &str| format!("--XX\nContent-Disposition: form-data; {head}\n\n{content}\n");
    let (model, file) =
        (field("name=\"model\"", "whisper-1"), field("name=\"file\"; filename=\"a.mp3\"", "\0\u{1}ID3\n--X"));
    let at = "audio.create endpoint=audio/transcriptions model=whisper-1";
    let check = |body: &str, expect: &str| check_form("audio/transcriptions", body, expect);
    check(&format!("{file}{model}--XX--\n"), &format!("{at} stream=false uses_files=true"));
    check(&format!("{model}{}--XX--", field("name=\"stream\"", "true")), &format!("{at} stream=true uses_files=false"));
    check(&format!("{model}{model}--XX--\n"), "ambiguous");
    check(&format!("{model}{}--XX--\n", field("name=\"Model\"", "gpt-4o")), "ambiguous");
    check(&format!("{}--XX--\n", field("name=\"model\"; filename=\"x\"", "gpt-4o")), "ambiguous");
    check(&format!("{}--XX--\n", field("name=\"mo\\\"del\"", "gpt-4o")), "ambiguous");
    check(&format!("{}--XX--\n", field("name=model", "gpt-4o")), "malformed");
    check(&format!("{}--XX--\n", field("name*=UTF-8''model", "gpt-4o")), "malformed");
    check(&format!("{}--XX--\n", field("name=\"model\"; name=\"x\"", "gpt-4o")), "malformed");
    check(&format!("{model}--XX--\nContent-Disposition: form-data; name=\"model\"\n\ngpt-4o\n--XX--\n"), "malformed");
    check(&format!("before\n{model}--XX--\n"), "malformed");
    check(&model, "malformed");
    check("--XX\nX-Odd: 1\nContent-Disposition: form-data; name=\"model\"\n\nm\n--XX--\n", "not-understood");
    check("", "malformed");
    check(&"x".repeat(3 << 20), "needs-body");
    check_form("files", &format!("{}{file}--XX--\n", field("name=\"purpose\"", "batch")), "files.upload purpose=batch");
    check_form("files", &format!("{file}--XX--\n"), "malformed");
    check_form("chat/completions", &format!("{model}--XX--\n"), "not-understood");
    super::tests::check("POST audio/transcriptions <- {}", "not-understood");
}

#[test]
fn nothing_that_is_asked_is_in_an_answer() {
    let asked = r#"{"model":"m","input":"PROMPT","instructions":"PROMPT","messages":[{"content":"PROMPT"}],"user":"PROMPT",
        "metadata":{"k":"PROMPT"},"tools":[{"type":"function","name":"f","description":"PROMPT"}]}"#;
    for row in ROUTES.iter().filter(|row| row.reads != Reads::Nothing) {
        let path = row.pattern.replace(['{', '}'], "");
        let case = format!("{} https://x.example/v1/{path}\ncontent-type: application/json\n\n{asked}", row.method);
        let answer = format!("{:?}", testing::classify::<OpenAi>(case));
        assert!(!answer.contains("PROMPT"), "{path}: {answer}");
    }
}

#[test]
fn every_route_has_an_example_of_the_least_and_of_the_most_that_it_says() {
    for row in ROUTES {
        let declared = OpenAi::describe().actions.into_iter().find(|action| action.name == row.action).unwrap();
        let endpoint = row.pattern.replace("/{id}", "");
        for most in [false, true] {
            let held =
                declared.attributes.iter().filter(|held| row.optional(&held.name).is_some_and(|free| most || !free));
            let operation = held.fold(Operation::new(row.action), |operation, held| match held.kind {
                Kind::Flag => operation.flag(&held.name, most),
                Kind::Texts if most => operation.texts(
                    &held.name,
                    vec!["function:f".into(), "mcp:https://x.example/a".into(), "web_search".into()],
                ),
                Kind::Texts => operation.texts(&held.name, vec![]),
                _ if held.name == "endpoint" => operation.text("endpoint", endpoint.as_str()),
                _ => operation.text(&held.name, "gpt-4o"),
            });
            for advice in OpenAi::suggest(&Request::https("POST", "api.openai.com"), &[operation]) {
                assert!(OpenAi::example(&advice).is_some(), "{advice:?}");
            }
        }
    }
}

#[test]
fn no_example_rather_than_a_wrong_one() {
    let tools = |names: &[&str], uses_tools| {
        let names = names.iter().map(|name| (*name).to_owned()).collect();
        let operation = Operation::new("chat.create").text("endpoint", "chat/completions").flag("stream", false);
        Suggestion::new(operation.texts("tools", names).flag("uses_tools", uses_tools).flag("uses_files", false), "")
    };
    assert!(OpenAi::example(&tools(&["function:f"], true)).is_some());
    assert_eq!(OpenAi::example(&tools(&["function:f"], false)), None);
    assert_eq!(OpenAi::example(&tools(&[], true)), None);
    assert_eq!(OpenAi::example(&tools(&["no tool"], true)), None);
}

#[test]
fn cases_are_answered_from_the_vocabulary() {
    for (_, case) in testing::cases(concat!(env!("CARGO_MANIFEST_DIR"), "/cases")) {
        let _ = testing::classify::<OpenAi>(case);
    }
}
