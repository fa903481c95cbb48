//! What OpenRouter's books say, read from every form they come in: each test is a text and what is understood of it.

use crate::support::random::Random;
use farthing::money::{Amount, Currency};
use farthing::reconcile::purchases::{Closing, DoubtfulFee, FeeRule, PurchaseKind, Purchases};
use farthing::reconcile::statement::{
    Flags, Form, Line, Precision, Statement, Tokens, activity, analytics, chart_csv, cut_to_micros, generation, generations_csv,
};
use num_bigint::BigInt;

const GENERATIONS: &str = include_str!("statements/generations.csv");

fn money(text: &str) -> Amount {
    Amount::parse(text).unwrap()
}

fn tokens(input: u64, cache_read: u64, output: u64, reasoning: u64) -> Tokens {
    Tokens { input, cache_read, output, reasoning }
}

/// A line in short: `number at model/provider key requests tokens amount`.
fn told(statement: &Statement, line: &Line) -> String {
    let name = |name: Option<_>| name.map_or("-", |name| statement.names.text(name));
    let Tokens { input, cache_read, output, reasoning } = line.tokens;
    format!(
        "{} {} {} {}/{} key {} requests {} tokens {input}+{cache_read} {output}+{reasoning} charged {} tools {} upstream {}",
        line.number,
        line.at,
        statement.id_of(line).unwrap_or("day"),
        name(line.model),
        name(line.provider),
        name(line.key),
        line.requests,
        line.amount,
        line.tools,
        line.upstream
    )
}

fn lines(statement: &Statement) -> Vec<String> {
    statement.lines.iter().map(|line| told(statement, &line)).collect()
}

#[test]
fn an_export_of_generations_is_read_by_its_header() {
    let statement = generations_csv::read(GENERATIONS).unwrap();
    assert_eq!(
        lines(&statement),
        [
            "2 2026-10-31T23:59:59.999Z gen-1793491199-aaaaaaaaaaaaaaaaaaaa acme/large-20260101/Azure key prod-key requests 1 tokens 200+1000 260+40 charged 0.001641 tools 0 upstream 0",
            "3 2026-11-01T00:00:00Z gen-1793491200-bbbbbbbbbbbbbbbbbbbb acme/small-20260101/Relace key - requests 1 tokens 100+0 0+0 charged 0 tools 0 upstream 0.002",
            "4 2026-11-01T08:00:00Z gen-1793520000-cccccccccccccccccccc acme/large-20260101/Azure key prod-key requests 1 tokens 0+0 0+0 charged 0.014 tools 0.012 upstream 0",
        ]
    );
    let [first, second, third] = std::array::from_fn(|place| statement.lines.get(place));
    assert_eq!(first.flags, Flags::NONE);
    assert_eq!(second.flags, Flags::CANCELLED.with(Flags::BYOK, true).with(Flags::WITHOUT_KEY, true));
    assert_eq!(statement.names.text(second.variant.unwrap()), "free");
    // More was read from a cache than was sent: a replayed answer. The counts stay untold.
    assert_eq!(third.flags, Flags::COUNTS_UNTOLD);
    assert_eq!((statement.form, first.precision, first.variant), (Form::GenerationsCsv, Precision::Truncated, None));
    assert_eq!((statement.unread.as_slice(), statement.total()), (&["shoe_size".to_owned()][..], money("0.015641")));
    let days = statement.days().unwrap();
    assert_eq!((days.from.to_string(), days.until.to_string()), ("2026-10-31T00:00:00Z".into(), "2026-11-02T00:00:00Z".into()));
}

/// The file named by `FARTHING_ACTIVITY_CSV`, a real export of one's own, or else the one beside this test.
#[test]
fn every_row_of_an_export_is_a_line_and_no_digit_is_lost() {
    let named = std::env::var("FARTHING_ACTIVITY_CSV").ok();
    let text = named.map_or(GENERATIONS.to_owned(), |path| std::fs::read_to_string(path).unwrap());
    let statement = generations_csv::read(&text).unwrap();
    let mut rows = text.lines();
    let place = rows.next().unwrap().split(',').position(|column| column == "cost_total").unwrap();
    let digits = |cell: &str| -> BigInt {
        let (whole, decimals) = cell.split_once('.').unwrap_or((cell, ""));
        format!("{whole}{decimals:0<24}").parse().unwrap()
    };
    let costs: Vec<BigInt> = rows.filter(|row| !row.is_empty()).map(|row| digits(row.split(',').nth(place).unwrap())).collect();
    assert_eq!(statement.lines.len(), costs.len());
    assert_eq!(BigInt::from(statement.total().units()), costs.into_iter().sum::<BigInt>());
    assert!(statement.lines.iter().all(|line| cut_to_micros(line.amount) == line.amount), "an export has six decimals");
}

#[test]
fn an_export_without_the_columns_of_2026_tells_less_and_says_so() {
    let text = "generation_id,created_at,cost_total,tokens_prompt,tokens_completion,tokens_reasoning,model_permaslug\n\
                gen-1,2025-05-01 10:00:00.000,0.5,10,5,1,a/b\n";
    let statement = generations_csv::read(text).unwrap();
    assert_eq!(statement.lines.get(0).flags, Flags::CACHE_UNTOLD.with(Flags::TOOLS_UNTOLD, true));
    assert_eq!(statement.lines.get(0).tokens, tokens(10, 0, 4, 1));
}

#[test]
fn a_bad_export_is_refused_by_line_column_and_fix() {
    let header = "generation_id,created_at,cost_total,tokens_prompt,tokens_completion,model_permaslug\n";
    let row = |row: &str| format!("{header}gen-0,2026-02-03 10:00:00.000,0.1,1,1,a/b\n{row}\n");
    for (text, said) in [
        ("id,created_at\n".to_owned(), "there is no column generation_id; the columns are id, created_at"),
        (
            row("gen-1,yesterday,0.1,1,1,a/b"),
            "line 3, column created_at: `yesterday` is not an RFC 3339 instant; write it like 2026-02-03T10:00:00Z",
        ),
        (row("gen-1,2026-02-03 10:00:00.000,free,1,1,a/b"), "line 3, column cost_total: `free` is not a decimal number"),
        (
            row("gen-1,2026-02-03 10:00:00.000,,1,1,a/b"),
            "line 3, column cost_total: empty; write the amount, or 0 where nothing was charged",
        ),
        (
            row("gen-1,2026-02-03 10:00:00.000,0.1,-1,1,a/b"),
            "line 3, column tokens_prompt: `-1` is not a count of tokens or requests",
        ),
        (row(",2026-02-03 10:00:00.000,0.1,1,1,a/b"), "line 3, column generation_id: empty; every generation has an id"),
        (row("gen-0,2026-02-03 10:00:00.000,0.1,1,1,a/b"), "line 3: gen-0 is on line 2 already; remove one of them"),
        (
            row("gen-1,2026-02-03 10:00:00.000,9100000000000,1,1,a/b\ngen-2,2026-02-03 10:00:00.000,9100000000000,1,1,a/b"),
            "the lines add up to more than a book holds; look for a wrong unit",
        ),
    ] {
        assert_eq!(generations_csv::read(&text).unwrap_err().to_string(), said);
    }
}

#[test]
fn a_days_activity_has_both_forms_of_days_and_counts_as_strings() {
    let answer = r#"{"data":[
        {"date":"2026-11-20 00:00:00","model":"a/b","model_permaslug":"a/b-20260101","endpoint_id":"703f","provider_name":"OpenAI",
         "usage":0.1369135,"byok_usage_inference":0.000000000001,"byok_requests":1,"requests":"1523","prompt_tokens":"24794","completion_tokens":7493,
         "reasoning_tokens":3723,"cached_tokens":794,"workspace_id":"w","weather":"fine"},
        {"date":"2026-11-20","model":"c/d","endpoint_id":"704a","provider_name":"stealth/int8","usage":1e-7,"requests":1,
         "prompt_tokens":5,"completion_tokens":7,"reasoning_tokens":0}]}"#;
    let statement = activity::read(answer, Some("k1")).unwrap();
    assert_eq!(
        lines(&statement),
        [
            "1 2026-11-20T00:00:00Z day a/b-20260101/OpenAI key k1 requests 1523 tokens 24000+794 3770+3723 charged 0.1369135 tools 0 upstream 0.000000000001",
            "2 2026-11-20T00:00:00Z day c/d/stealth/int8 key k1 requests 1 tokens 5+0 7+0 charged 0.0000001 tools 0 upstream 0",
        ]
    );
    assert!(statement.lines.get(0).flags.has(Flags::BYOK) && statement.lines.get(1).flags.has(Flags::CACHE_UNTOLD));
    assert_eq!(statement.unread, ["workspace_id", "weather"]);
}

#[test]
fn an_answer_that_is_no_activity_is_refused_by_row_and_field() {
    for (answer, said) in [
        (r#"{"data":[{"date":"2026-11-20"}]}"#, "row 1: model_permaslug: missing"),
        (r#"{"data":[{"date":"yesterday","model":"a"}]}"#, "row 1: date: `yesterday` is not a UTC day; write it like 2026-02-03"),
        (
            r#"{"data":[{"date":"2026-11-20","model":"a","usage":true,"requests":1}]}"#,
            "row 1: usage: expected a decimal, found true or false",
        ),
        (r#"{"data":[{"date":"2026-11-20","model":"a","usage":1}]}"#, "row 1: requests: missing"),
        (
            r#"{"error":{"message":"Only management keys","code":403}}"#,
            "this is the answer to a request that was refused; ask again",
        ),
        ("{}", "data: missing; this is no list of rows"),
    ] {
        assert_eq!(activity::read(answer, None).unwrap_err().to_string(), said);
    }
    assert!(activity::read("{\"data\":[{\"date\":", None).unwrap_err().to_string().contains("broken JSON"));
}

#[test]
fn a_record_of_a_generation_has_native_counts_and_the_endpoint_that_answered() {
    let record = r#"{"data":{"id":"gen-1","created_at":"2026-02-24T21:19:33.705Z","model":"a/b","tokens_prompt":65,"tokens_completion":116,
        "native_tokens_prompt":64,"native_tokens_completion":98,"native_tokens_reasoning":8,"native_tokens_cached":4,"is_byok":false,
        "cancelled":true,"usage":0.00003452,"total_cost":3.452e-5,"upstream_inference_cost":0.00003452,"service_tier":"default",
        "provider_name":"Elsewhere","provider_responses":[
            {"endpoint_id":"e1","provider_name":"First","status":503},
            {"endpoint_id":"e2","provider_name":"DeepInfra","status":200,"routed_service_tier":"flex"}]}}"#;
    let dashboard = r#"{"generation_id":"gen-2","created_at":"2026-07-29T05:09:06.673Z","model":"a/c","provider_name":"Bedrock","usage":0.81067,
        "native_tokens_prompt":10,"native_tokens_completion":5,"usage_web":0.01,"usage_file":0.002,"byok_usage_inference":0}"#;
    let statement = generation::read(&[record, dashboard]).unwrap();
    assert_eq!(
        lines(&statement),
        [
            "1 2026-02-24T21:19:33.705Z gen-1 a/b/DeepInfra key - requests 1 tokens 60+4 90+8 charged 0.00003452 tools 0 upstream 0",
            "2 2026-07-29T05:09:06.673Z gen-2 a/c/Bedrock key - requests 1 tokens 10+0 5+0 charged 0.81067 tools 0.012 upstream 0",
        ]
    );
    let line = statement.lines.get(0);
    assert_eq!(line.flags, Flags::CANCELLED.with(Flags::TOOLS_UNTOLD, true));
    assert_eq!([line.endpoint, line.tier].map(|name| statement.names.text(name.unwrap())), ["e2", "flex"]);
    assert_eq!(line.precision, Precision::Exact);
}

#[test]
fn analytics_name_generations_that_nobody_knew_and_half_of_them_is_none() {
    let answer = |truncated: bool| {
        format!(
            r#"{{"data":{{"data":[{{"created_at__minute":"2026-11-20T10:01:00.000Z","generation_id":"gen-1","api_key_id":"prod","credits_usage":0.0012}},
                {{"created_at__minute":"2026-11-20 10:02:00","generation_id":"gen-2","api_key_id":null,"credits_usage":"0.5","byok_usage":0.1}}],
                "metadata":{{"query_time_ms":3,"row_count":2,"truncated":{truncated}}},"warnings":[]}}}}"#
        )
    };
    let statement = analytics::read(&[&answer(false)]).unwrap();
    assert_eq!(
        lines(&statement),
        [
            "1 2026-11-20T10:01:00Z gen-1 -/- key prod requests 1 tokens 0+0 0+0 charged 0.0012 tools 0 upstream 0",
            "2 2026-11-20T10:02:00Z gen-2 -/- key - requests 1 tokens 0+0 0+0 charged 0.5 tools 0 upstream 0.1",
        ]
    );
    assert!(statement.lines.get(1).flags.has(Flags::WITHOUT_KEY) && !statement.lines.get(0).flags.has(Flags::WITHOUT_KEY));
    let refused = analytics::read(&[&answer(true)]).unwrap_err().to_string();
    assert_eq!(refused, "data.metadata.truncated: the answer was cut off; ask for a shorter window");
    assert!(analytics::read(&[r#"{"data":{"data":[]}}"#]).unwrap_err().to_string().contains("nobody can tell"));
}

#[test]
fn a_chart_has_estimates_in_its_spend_unless_it_says_credits() {
    let spend = chart_csv::read("date,model,spend,requests\n2026-11-20,a/b,1.5,3\n").unwrap();
    assert!(spend.lines.get(0).flags.has(Flags::WITH_UPSTREAM));
    let credits = chart_csv::read("date__day,api_key_id,total_usage,credits_usage\n2026-11-20 00:00:00,prod,2,1.5\n").unwrap();
    assert!(!credits.lines.get(0).flags.has(Flags::WITH_UPSTREAM));
    assert_eq!(credits.total(), money("1.5"));
    for (text, said) in [
        ("date,model,tokens\n", "there is no column credits_usage; the columns are date, model, tokens"),
        ("model,spend\n", "there is no column date; the columns are model, spend"),
        ("date,spend\n", "there is no column model_permaslug; the columns are date, spend"),
    ] {
        assert_eq!(chart_csv::read(text).unwrap_err().to_string(), said);
    }
}

/// Three top-ups of 100, 10 and 50 in credits with a fee of 5.5%, at least 0.80, and tax; one refund; one invoice in arrears.
const PURCHASES: &str = "date,kind,amount,currency,invoice_id,note\n\
    2026-10-01,top_up,125.55,USD,in_1,\"by card, monthly\"\n2026-10-01,fee,5.50,USD,in_1,\n2026-10-01,tax,20.05,USD,in_1,\n\
    2026-10-10,top_up,12.86,USD,in_2,\n2026-10-10,fee,0.80,USD,in_2,\n2026-10-10,tax,2.06,USD,in_2,\n\
    2026-10-20,top_up,62.78,USD,in_3,\n2026-10-20,fee,2.75,USD,in_3,\n2026-10-20,tax,10.03,USD,in_3,\n\
    2026-10-21,refund,10,USD,in_2,\n2026-10-25,transfer,-5,USD,,to the other account\n2026-10-31,expiry,1.5,USD,,\n\
    2026-10-31,invoice,300,EUR,in_4,\n";

#[test]
fn purchases_move_credits_by_what_is_left_of_them() {
    let purchases = Purchases::read(PURCHASES).unwrap();
    assert_eq!(purchases.rows.len(), 13);
    let first = &purchases.rows[0];
    assert_eq!((first.line, first.kind, first.on.to_string().as_str()), (2, PurchaseKind::TopUp, "2026-10-01T00:00:00Z"));
    assert_eq!([&first.invoice_id, &first.note].map(|text| text.as_deref()), [Some("in_1"), Some("by card, monthly")]);
    let usd = purchases.movement(Currency::USD);
    assert_eq!([usd.top_ups, usd.fees, usd.taxes], [money("201.19"), money("9.05"), money("32.14")]);
    assert_eq!(usd.credits(), money("143.5"));
    let eur = purchases.movement("EUR".parse().unwrap());
    assert_eq!((eur.invoices, eur.credits()), (money("300"), Amount::ZERO));
}

#[test]
fn a_month_of_purchases_closes_and_each_error_in_it_is_named_with_its_amount() {
    let october = |purchases: &str| {
        let purchases = Purchases::read(purchases).unwrap();
        let movement = purchases.movement(Currency::USD);
        let closing = Closing { before: money("20"), movement, usage: money("41.2345678901"), after: money("122.2654321099") };
        let fees = purchases.doubtful_fees(&FeeRule::default(), Currency::USD);
        let told = |fee: &DoubtfulFee| format!("{} {:?} {} -> {}", fee.invoice_id, fee.lines, fee.expected, fee.observed);
        (closing.unexplained(), fees.iter().map(told).collect::<Vec<_>>())
    };
    assert_eq!(october(PURCHASES), (Amount::ZERO, vec![]));
    for (right, wrong, unexplained, fee) in [
        ("fee,5.50,", "fee,5.60,", "0.1", Some("in_1 [2, 3, 4] 5.5 -> 5.6")),
        ("fee,0.80,", "fee,0.55,", "-0.25", Some("in_2 [5, 6, 7] 0.8 -> 0.55")),
        ("tax,20.05,", "tax,21.05,", "1", Some("in_1 [2, 3, 4] 5.45 -> 5.5")),
        ("refund,10,", "refund,1,", "-9", None),
        ("expiry,1.5,", "expiry,15,", "13.5", None),
        ("transfer,-5,", "transfer,5,", "-10", None),
    ] {
        let (left, fees) = october(&PURCHASES.replace(right, wrong));
        assert_eq!((left, fees), (money(unexplained), fee.map(str::to_owned).into_iter().collect()), "{wrong}");
    }
}

#[test]
fn a_bad_purchase_is_refused_by_line_column_and_fix() {
    let row = |row: &str| format!("date,kind,amount,currency\n{row}\n");
    for (text, said) in [
        (
            row("2026-10-01,gift,1,USD"),
            "line 2, column kind: `gift` is none of top_up, fee, tax, refund, expiry, transfer, invoice",
        ),
        (row("2026-10-01,fee,-1,USD"), "line 2, column amount: -1 is negative; a fee is written without a sign"),
        (row("2026-10-01,fee,1,usd"), "line 2, column currency: `usd` is not a currency: three capital letters, such as USD"),
        (row("1 Oct,fee,1,USD"), "line 2, column date: `1 Oct` is not a date; write it like 2026-02-03"),
        (row("2026-10-01,fee,,USD"), "line 2, column amount: empty; write the amount, or 0 where nothing was charged"),
        ("date,kind,amount,currency,discount\n".to_owned(), "line 1: the column discount is unknown; remove it"),
        ("date,kind,amount\n".to_owned(), "there is no column currency; the columns are date, kind, amount"),
    ] {
        assert_eq!(Purchases::read(&text).unwrap_err().to_string(), said);
    }
}

/// Broken in a thousand ways: cut, doubled, overwritten.
#[test]
fn no_text_makes_a_reader_panic() {
    let day = r#"{"data":[{"date":"2026-11-20 00:00:00","model_permaslug":"a/b","usage":0.1369135,"requests":"1523","prompt_tokens":"24794","completion_tokens":7493}]}"#;
    let record = r#"{"data":{"id":"gen-1","created_at":"2026-02-24T21:19:33.705Z","total_cost":3.452e-5,"native_tokens_prompt":64,"provider_responses":[{"status":200}]}}"#;
    let analysed =
        r#"{"data":{"data":[{"date__day":"2026-11-20","generation_id":"g","credits_usage":1}],"metadata":{"truncated":false}}}"#;
    let mut random = Random::new(7);
    let (mut read, mut refused) = (0, 0);
    for text in [GENERATIONS, PURCHASES, day, record, analysed] {
        for _ in 0..1_000 {
            let mut broken: Vec<char> = text.chars().collect();
            for _ in 0..1 + random.below(3) {
                let place = random.below(broken.len() as u64) as usize;
                match random.below(4) {
                    0 => broken.truncate(place + 1),
                    1 => broken[place] = *random.pick(&['"', ',', '\n', '\r', '\0', 'é', '-', '9', 'e', '{', '\u{feff}']),
                    2 if broken.len() > 1 => drop(broken.remove(place)),
                    _ => broken.extend_from_within(place..),
                }
            }
            let broken: String = broken.into_iter().collect();
            let answers = [
                generations_csv::read(&broken).is_ok(),
                chart_csv::read(&broken).is_ok(),
                activity::read(&broken, None).is_ok(),
                generation::read(&[&broken]).is_ok(),
                analytics::read(&[&broken, &broken]).is_ok(),
                Purchases::read(&broken).is_ok(),
            ];
            *(if answers.contains(&true) { &mut read } else { &mut refused }) += 1;
        }
    }
    assert!(read > 100 && refused > 1_000, "{read} read, {refused} refused");
}
