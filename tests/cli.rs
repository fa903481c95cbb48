//! The command line as a person or a script uses it: what it prints, and how it ends.

use crate::support::database::TestDatabase;
use crate::support::provider::{Provider, json, status};
use serde_json::json;
use std::io::Write;
use std::process::{Command, Output, Stdio};

struct Shell {
    database: TestDatabase,
}

impl Shell {
    fn new() -> Shell {
        Shell { database: TestDatabase::sqlite() }
    }

    fn run(&self, arguments: &[&str], input: &str) -> (Option<i32>, String, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_farthing"));
        command.args(arguments).env("DATABASE_URL", &self.database.url).env("FARTHING_LOG", "error");
        let mut child = command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        child.stdin.take().unwrap().write_all(input.as_bytes()).unwrap();
        let Output { status, stdout, stderr } = child.wait_with_output().unwrap();
        (status.code(), String::from_utf8(stdout).unwrap(), String::from_utf8(stderr).unwrap())
    }

    fn ok(&self, arguments: &[&str], input: &str) -> String {
        let (code, stdout, stderr) = self.run(arguments, input);
        assert_eq!(code, Some(0), "{arguments:?}: {stderr}");
        stdout
    }
}

fn event(id: &str, model: &str, user: &str, input: u64) -> String {
    json!({"id": id, "source": "gw", "occurred_at": "2026-10-01T12:00:00Z", "provider": "openai", "model": model, "user": user,
           "usage": {"input": input}})
    .to_string()
}

/// As in `farthing report spend | head -1`.
#[test]
fn a_reader_that_has_seen_enough_is_no_mistake() {
    let database = TestDatabase::sqlite();
    let mut command = std::process::Command::new(env!("CARGO_BIN_EXE_farthing"));
    command.args(["catalog", "list"]).env("DATABASE_URL", &database.url);
    let mut child = command.stdout(std::process::Stdio::piped()).stderr(std::process::Stdio::piped()).spawn().unwrap();
    drop(child.stdout.take());
    let ended = child.wait_with_output().unwrap();
    assert_eq!((ended.status.code(), String::from_utf8_lossy(&ended.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn events_go_in_and_a_report_comes_out() {
    let shell = Shell::new();
    let lines = [
        event("a", "gpt-4o-mini", "ann", 2_000_000),
        event("b", "gpt-4o-mini", "bo", 1_000_000),
        event("c", "gpt-4o", "bo", 1_000_000),
    ]
    .join("\n");
    let said = shell.ok(&["ingest", "-"], &lines);
    assert_eq!(said, "received         3\nposted           3\n");
    assert_eq!(shell.ok(&["ingest", "-"], &lines), "received         3\nalready present  3\n");
    let table = shell.ok(&["report", "spend", "--by", "user,model"], "");
    assert_eq!(
        table,
        "user  model        amount  currency  calls\n\
         bo    gpt-4o         2.50  USD           1\n\
         ann   gpt-4o-mini    0.30  USD           1\n\
         bo    gpt-4o-mini    0.15  USD           1\n\
         \n\
         total 2.95 USD in 3 calls\n\
         the book up to block 1\n"
    );
    let csv = shell.ok(&["report", "spend", "--by", "user", "--filter", "model=gpt-4o-mini", "--format", "csv"], "");
    assert_eq!(csv, "user,amount,currency,calls\r\nann,0.3,USD,1\r\nbo,0.15,USD,1\r\n");
    assert!(shell.ok(&["verify"], "").starts_with("1 blocks, 3 events, 3 entries: every hash fits\nhead "));
}

/// The month is the same wherever and whenever it is made, and the README shows it as it is.
#[test]
fn the_demo_is_the_month_that_the_readme_shows() {
    let shell = Shell::new();
    let said = shell.ok(&["demo"], "");
    assert!(said.starts_with("13061 events of October 2026"), "{said}");
    let (code, _, refused) = shell.run(&["demo"], "");
    assert_eq!((code, refused.contains("has events already; name an empty database")), (Some(1), true), "{refused}");

    let readme = std::fs::read_to_string(format!("{}/README.md", env!("CARGO_MANIFEST_DIR"))).unwrap();
    let shown: Vec<(&str, &str)> = readme
        .split("```console\n")
        .skip(1)
        .map(|rest| rest.split("```").next().unwrap().rsplit_once("$ farthing --database sqlite://demo.db ").unwrap().1)
        .map(|command| command.split_once('\n').unwrap())
        .collect();
    assert_eq!(shown.len(), 2);
    for (command, output) in shown {
        assert_eq!(shell.ok(&command.split(' ').collect::<Vec<_>>(), ""), output, "{command}");
    }
    // What the story says: 620 turns of the agent, six calls a day of the model without a price from the 27th on.
    let agent =
        shell.ok(&["report", "spend", "--by", "agent", "--filter", "agent=crawler", "--show", "calls", "--format", "csv"], "");
    assert_eq!(agent, "agent,calls\r\ncrawler,620\r\n");
    assert!(shell.ok(&["report", "apps"], "").contains("30 no_rate_card"));
    // The late contract shows on the sheet of those whom it concerns, and on no other's.
    let sheet = |team: &str| shell.ok(&["sheet", "--team", team, "--month", "2026-10"], "");
    let (support, search) = (sheet("support"), sheet("search"));
    assert!(support.contains("<h2>Corrections</h2>") && support.contains("<td>reversal</td>"), "{support}");
    assert!(support.contains("43.02598656") && !search.contains("Corrections"), "{search}");
    assert!(shell.ok(&["verify"], "").contains("13061 events"), "{}", shell.ok(&["verify"], ""));
}

#[test]
fn reports_have_names_and_an_operator_adds_more() {
    let shell = Shell::new();
    shell.ok(&["ingest", "-"], &[event("a", "gpt-4o-mini", "ann", 2_000_000), event("b", "gpt-4o", "bo", 1_000_000)].join("\n"));
    let listed = shell.ok(&["report"], "");
    assert!(listed.contains("users-models     Who spent how much on which model this month?\n"), "{listed}");
    let table = shell.ok(&["report", "users-models", "--range", "2026-10"], "");
    assert!(table.contains("bo    gpt-4o         2.50  USD           1  1 000 000  89.29\n"), "{table}");
    assert!(table.contains("\nnote: Usage that is held has no amount yet"), "{table}");

    let directory = std::env::temp_dir().join(format!("farthing-reports-{}", std::process::id()));
    std::fs::create_dir_all(&directory).unwrap();
    let own = "question: What does Bo use?\nby: [model]\nrange: 2026-10\nfilters: {user: bo}\n";
    std::fs::write(directory.join("bo.yaml"), own).unwrap();
    let place = directory.to_str().unwrap();
    assert!(
        shell
            .ok(&["--reports", place, "report", "bo"], "")
            .starts_with("model   amount  currency  calls\ngpt-4o    2.50  USD           1\n")
    );
    std::fs::write(directory.join("bad.yaml"), "question: Who?\nby: [who]\n").unwrap();
    let (code, _, said) = shell.run(&["--reports", place, "report", "bo"], "");
    assert_eq!(code, Some(64));
    assert!(said.contains("bad.yaml: line 2: by: `who` is no dimension; known are hour, day"), "{said}");
    std::fs::remove_dir_all(&directory).unwrap();
    let (code, _, said) = shell.run(&["report", "spend", "--top", "none"], "");
    assert_eq!((code, said.contains("--top: `none` is no number of groups")), (Some(64), true), "{said}");
}

#[test]
fn what_is_not_posted_is_told_with_its_line() {
    let shell = Shell::new();
    let lines =
        format!("{}\n{{oops\n{}\n{{\"id\":\"x\"}}\n", event("a", "gpt-4o", "ann", 1), event("b", "nobody-knows", "ann", 1));
    let (code, stdout, stderr) = shell.run(&["ingest", "-"], &lines);
    assert_eq!(code, Some(1));
    assert_eq!(stdout, "received         4\nposted           1\nheld             1\nrejected         2\n");
    assert!(stderr.contains("line 2: rejected: line 2: broken JSON: column 2"), "{stderr}");
    assert!(stderr.contains("line 3 (b): held: no rate card for openai/nobody-knows"), "{stderr}");
    assert!(stderr.contains("line 4 (x): rejected: provider: missing"), "{stderr}");
    assert!(shell.ok(&["held", "list"], "").ends_with("1 held: 1 no_rate_card\n"));
    assert_eq!(shell.ok(&["held", "retry"], ""), "1 tried, 0 posted, 1 still held\n");
    assert!(shell.ok(&["rejected", "list"], "").ends_with("2 rejected\n"));
    let array = format!("[{},", event("z", "gpt-4o", "ann", 1));
    let (code, _, stderr) = shell.run(&["ingest", "-"], &array);
    assert_eq!(code, Some(1));
    assert!(stderr.contains("nothing was posted"), "{stderr}");
}

#[test]
fn a_quote_shows_every_line_item_and_why() {
    let shell = Shell::new();
    let text = shell.ok(&["quote", "-"], &event("q", "gpt-4o", "ann", 1_000));
    for part in [
        "q  rated  0.0025 USD",
        "input",
        "1000 x 0.0000025 = 0.0025",
        "cost:-/ann owes payable:openai  0.0025",
        "card openai/gpt-4o",
    ] {
        assert!(text.contains(part), "{part}: {text}");
    }
    let (code, stdout, _) = shell.run(&["quote", "--format", "json", "-"], &event("q", "nobody-knows", "ann", 1));
    assert_eq!(code, Some(1));
    assert!(stdout.contains("\"reason\":\"no_rate_card\""));
}

#[test]
fn a_published_catalog_posts_what_was_held() {
    let shell = Shell::new();
    shell.run(&["ingest", "-"], &event("h", "house-model", "ann", 1_000_000));
    let file = std::env::temp_dir().join(format!("farthing-cli-{}.yaml", std::process::id()));
    std::fs::write(
        &file,
        "provider: openai\noverrides:\n  - kind: contract\n    model: house-model\n    pricing: {inputCostPer1K: \"0.002\"}\n",
    )
    .unwrap();
    let path = file.to_str().unwrap();
    assert!(shell.ok(&["catalog", "check", path], "").contains("1 parts"));
    // No list has the model, so its name may be mistyped: a person says that it is right.
    let (code, _, stderr) = shell.run(&["catalog", "publish", path, "--note", "our own model"], "");
    assert!(code == Some(1) && stderr.contains("no model or alias of its list is house-model"), "{stderr}");
    let published = shell.ok(&["catalog", "publish", path, "--accept", "--note", "our own model"], "");
    assert!(published.contains("version 2; 1 of 1 held events posted"), "{published}");
    assert!(shell.ok(&["catalog", "publish", path, "--accept"], "").contains("identical to version 2"));
    assert!(shell.ok(&["catalog", "list"], "").contains("our own model"));
    assert_eq!(shell.ok(&["held", "retry"], ""), "0 tried, 0 posted, 0 still held\n");
    assert!(shell.ok(&["report", "spend", "--by", "model"], "").contains("house-model    2.00"));
    std::fs::write(&file, "provider: openai\nmodels:\n  - model: x\n    cards: [{input_per_1m: 3}]\n").unwrap();
    let (code, _, stderr) = shell.run(&["catalog", "publish", path], "");
    assert_eq!(code, Some(1));
    assert!(stderr.contains("line 4: models.x.cards.input_per_1m: a rate is a quoted decimal"), "{stderr}");
    std::fs::remove_file(file).unwrap();
}

#[test]
fn prices_explain_themselves_and_what_they_did() {
    let shell = Shell::new();
    shell.run(&["ingest", "-"], &event("h", "gpt-4o", "ann", 1_000_000));
    let why = shell.ok(&["explain", "h"], "");
    for part in [
        "openai/gpt-4o",
        "layer list",
        "catalog version 1",
        "input                     1000000 x 0.0000025 = 2.5",
        "how version 1 decides it:",
        "source: https://",
    ] {
        assert!(why.contains(part), "{part} is not in {why}");
    }
    assert_eq!(shell.run(&["explain", "nobody"], "").0, Some(1));

    let price = shell.ok(&["catalog", "price", "openai", "gpt-4o", "--at", "2026-11-01"], "");
    assert!(price.contains("input_per_1m: 2.5") && price.contains("source: "), "{price}");
    assert!(shell.ok(&["catalog", "price", "openai", "gpt-4o", "--as", "omnia"], "").contains("inputCostPer1K: \"0.0025\""));
    let (code, stdout, stderr) = shell.run(&["catalog", "price", "openai", "gpt-4oo"], "");
    assert_eq!(code, Some(1));
    assert!(
        stdout.contains("list openai: no model gpt-4oo") && stderr.contains("no rate card for openai/gpt-4oo"),
        "{stdout}{stderr}"
    );

    let file = std::env::temp_dir().join(format!("farthing-cli-contract-{}.yaml", std::process::id()));
    let contract = "provider: openai\noverrides:\n  - {kind: contract, model: gpt-4o, source: our contract, pricing: {inputCostPer1K: \"0.002\"}}\n";
    std::fs::write(&file, contract).unwrap();
    let path = file.to_str().unwrap();
    let dry = shell.ok(&["catalog", "publish", path, "--dry-run"], "");
    assert!(dry.contains("gpt-4o") && dry.contains("nothing was published: this was a dry run over version 1"), "{dry}");
    shell.ok(&["catalog", "publish", path], "");
    let changes = shell.ok(&["catalog", "changes", "--since", "2020-01-01"], "");
    assert!(changes.contains("prices of version 2, against version 1"), "{changes}");
    // Booked at 2.5 under version 1; nothing since then was charged otherwise than version 1 says.
    assert!(changes.contains("1 events, 0 of them charged otherwise"), "{changes}");

    let dry = shell.ok(&["rerate", "--dry-run"], "");
    assert!(dry.contains("openai/gpt-4o: 1 events, 2.5 to 2 USD: -0.5") && dry.contains("0 entries posted"), "{dry}");
    assert!(shell.ok(&["rerate", "--reason", "the contract"], "").contains("1 corrected, 2 entries posted"));
    let why = shell.ok(&["explain", "h"], "");
    assert!(why.contains("reason: version 2: the contract") && why.contains("reverses entry: 1"), "{why}");
    let changes = shell.ok(&["catalog", "changes", "--since", "2020-01-01"], "");
    assert!(changes.contains("openai/gpt-4o: 1 events, 2.000000 instead of 2.500000 USD: -0.500000"), "{changes}");

    assert!(shell.ok(&["catalog", "diff", "1", "2"], "").contains("gpt-4o"));
    assert!(shell.ok(&["catalog", "rollback", "1"], "").contains("published as version 3"));
    assert!(shell.ok(&["catalog", "show", "3"], "").contains("  openai  "));
    assert!(shell.ok(&["catalog", "show", "2", "--part", "openai.overrides"], "").contains("input_per_1m: \"2\""));
    std::fs::remove_file(file).unwrap();
}

#[test]
fn a_list_of_somebody_else_becomes_a_file_or_a_version() {
    let shell = Shell::new();
    let list = std::env::temp_dir().join(format!("farthing-cli-list-{}.json", std::process::id()));
    std::fs::write(
        &list,
        r#"{"gpt-x":{"litellm_provider":"acme","mode":"chat","input_cost_per_token":2e-06,"output_cost_per_token":8e-06}}"#,
    )
    .unwrap();
    let path = list.to_str().unwrap();
    let written = shell.ok(&["catalog", "import", "litellm", path, "--seen-at", "2026-11-01"], "");
    assert!(
        written.starts_with("provider: acme\n")
            && written.contains("from: 2026-11-01")
            && written.contains("output_per_1m: \"8\""),
        "{written}"
    );
    let said = shell.ok(&["catalog", "import", "litellm", path, "--publish", "--as", "litellm/"], "");
    assert!(said.contains("published as version 2"), "{said}");
    assert!(shell.ok(&["catalog", "price", "litellm/acme", "gpt-x"], "").contains("input_per_1m: 2"));
    let (code, _, stderr) = shell.run(&["catalog", "import", "nobody", path], "");
    assert!(code == Some(1) && stderr.contains("known are openrouter"), "{stderr}");
    let (code, _, stderr) = shell.run(&["catalog", "import", "litellm", path, "--provider", "openai"], "");
    assert!(code == Some(1) && stderr.contains("has no provider `openai`; it has acme"), "{stderr}");

    let other = std::env::temp_dir().join(format!("farthing-cli-other-{}.json", std::process::id()));
    std::fs::write(
        &other,
        r#"{"gpt-x":{"litellm_provider":"acme","mode":"chat","input_cost_per_token":3e-06,"output_cost_per_token":8e-06}}"#,
    )
    .unwrap();
    let (code, stdout, _) =
        shell.run(&["catalog", "compare", &format!("litellm={path}"), &format!("litellm={}", other.display())], "");
    assert!(code == Some(2) && stdout.contains("gpt-x") && stdout.contains("input"), "{stdout}");

    let crd = "apiVersion: omnia/v1alpha1\nkind: Provider\nmetadata: {name: or}\nspec:\n  type: openai\n  baseURL: https://openrouter.ai/api/v1\n  model: anthropic/claude-sonnet-4\n  pricing: {inputCostPer1K: \"0.003\", outputCostPer1K: \"0.015\"}\n";
    std::fs::write(&other, crd).unwrap();
    let written = shell.ok(&["catalog", "import", "omnia", other.to_str().unwrap()], "");
    assert!(written.contains("provider: openrouter") && written.contains("input_per_1m: \"3\""), "{written}");
    std::fs::remove_file(list).unwrap();
    std::fs::remove_file(other).unwrap();
}

/// The list comes from a real server on loopback: it is busy first, and then answers.
#[test]
fn a_list_is_fetched_from_where_it_is_published() {
    let shell = Shell::new();
    let provider = Provider::start();
    let list = r#"{"data":[{"id":"a/one","pricing":{"prompt":"0.000001","completion":"0.000004"}}]}"#;
    provider.will_say([status(503), json(list)]);
    let url = format!("{}/models", provider.url);
    let said = shell.ok(&["catalog", "import", "openrouter", "--url", &url, "--as", "there/", "--publish"], "");
    assert!(said.contains("published as version 2"), "{said}");
    assert!(shell.ok(&["catalog", "price", "there/openrouter", "a/one"], "").contains("output_per_1m: 4"));
    assert_eq!(provider.asked().len(), 2);
    provider.will_say([status(404)]);
    let (code, _, stderr) = shell.run(&["catalog", "import", "openrouter", "--url", &url, "--publish"], "");
    assert!(code == Some(74) && stderr.contains("answered 404"), "{stderr}");
}

#[test]
fn keys_and_orgs_are_made_and_revoked() {
    let shell = Shell::new();
    let key = shell.ok(&["keys", "create", "--scope", "ingest,read", "--source", "gw", "--note", "for the gateway"], "");
    assert!(key.starts_with("far_") && key.ends_with('\n') && key.lines().count() == 1);
    let id = key.split('_').nth(1).unwrap();
    let listed = shell.ok(&["keys", "list"], "");
    assert!(listed.contains(id) && listed.contains("source gw") && !listed.contains(key.trim()));
    assert!(shell.ok(&["keys", "revoke", id], "").contains("is revoked"));
    assert_eq!(shell.run(&["keys", "revoke", id], "").0, Some(1));
    shell.ok(&["orgs", "create", "beta"], "");
    assert_eq!(shell.run(&["orgs", "create", "beta"], "").0, Some(1));
    assert_eq!(shell.ok(&["orgs", "list"], "").lines().count(), 2);
    assert!(shell.ok(&["keys", "create", "--org", "beta", "--scope", "admin"], "").starts_with("far_"));
}

#[test]
fn every_way_to_end_has_its_code() {
    let shell = Shell::new();
    assert_eq!(shell.run(&["--help"], "").0, Some(0));
    assert_eq!(shell.run(&["--version"], "").0, Some(0));
    assert_eq!(shell.run(&["dance"], "").0, Some(64));
    assert_eq!(shell.run(&["ingest"], "").0, Some(64));
    assert_eq!(shell.run(&["report", "spend", "--by", "colour"], "").0, Some(64));
    assert_eq!(shell.run(&["ingest", "/nowhere/at/all"], "").0, Some(74));
    assert_eq!(shell.run(&["verify", "--org", "nobody"], "").0, Some(1));
    assert_eq!(shell.run(&["verify", "--database", "mysql://x"], "").0, Some(64));
    let (code, _, stderr) = shell.run(&["verify", "--config", "/nowhere.toml"], "");
    assert_eq!((code, stderr.contains("/nowhere.toml")), (Some(74), true));
    let file = std::env::temp_dir().join(format!("farthing-cli-{}.toml", std::process::id()));
    std::fs::write(&file, "databse = \"x\"\n").unwrap();
    let (code, _, stderr) = shell.run(&["verify", "--config", file.to_str().unwrap()], "");
    assert_eq!((code, stderr.contains("unknown field `databse`")), (Some(64), true), "{stderr}");
    std::fs::remove_file(file).unwrap();
    // Findings: a book that somebody tampered with.
    shell.ok(&["ingest", "-"], &event("a", "gpt-4o", "ann", 1));
    let path = shell.database.url.trim_start_matches("sqlite://");
    let tamper = "import sqlite3,sys\nc=sqlite3.connect(sys.argv[1])\nc.execute('DROP TRIGGER entries_are_not_changed')\nc.execute('UPDATE entries SET micro=9')\nc.commit()";
    assert!(Command::new("python3").args(["-c", tamper, path]).status().unwrap().success());
    let (code, _, stderr) = shell.run(&["verify"], "");
    assert_eq!(code, Some(2));
    assert!(stderr.contains("block 1, entry 1"), "{stderr}");
}

#[test]
fn a_config_file_and_the_environment_are_heard_in_their_order() {
    let shell = Shell::new();
    shell.ok(&["orgs", "create", "from-file"], "");
    let file = std::env::temp_dir().join(format!("farthing-config-{}.toml", std::process::id()));
    std::fs::write(&file, "org = \"from-file\"\nconnections = 2\n").unwrap();
    shell.ok(&["ingest", "-", "--config", file.to_str().unwrap()], &event("a", "gpt-4o", "ann", 1));
    assert!(shell.ok(&["orgs", "list"], "").contains("from-file  1 entries"));
    let by_flag = shell.ok(&["report", "spend", "--config", file.to_str().unwrap(), "--org", "main"], "");
    assert!(by_flag.contains("block 0"), "{by_flag}");
    std::fs::remove_file(file).unwrap();
}
