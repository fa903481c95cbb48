//! The book beside OpenRouter's: every class of difference by itself, then all of them planted at random into a known set of
//! calls (`planted`), found again, and nothing else found.

mod planted;

use crate::support::random::Random;
use farthing::id::Sequence;
use farthing::money::Amount;
use farthing::reconcile::compact::Compact;
use farthing::reconcile::compare::{Book, Booked, CannotCompare, Cause, Class, Comparison, Tolerance, Variance, compare};
use farthing::reconcile::statement::{
    Flags, Line, Statement, Tokens, activity, analytics, chart_csv, cut_to_micros, generation, generations_csv,
};
use farthing::time::{Instant, Period};
use farthing::usage::{Meter, Quantities};

fn money(text: &str) -> Amount {
    Amount::parse(text).unwrap()
}

fn at(text: &str) -> Instant {
    Instant::parse(text).unwrap()
}

/// The month of everything in here.
fn november() -> Period {
    Period { from: at("2026-11-01T00:00:00Z"), until: at("2026-12-01T00:00:00Z") }
}

/// A call as it is booked where nothing is wrong: 1,000 tokens in, 400 of them cached, 100 out, for half a cent and a bit.
fn call(book: &mut Book, sequence: i64, id: &str) -> Booked {
    Booked {
        sequence: Sequence(sequence),
        generation: (!id.is_empty()).then(|| book.ids.keep(id)),
        at: at("2026-11-20T10:00:00Z"),
        model: Some(book.names.name("a/b")),
        served_by: Some(book.names.name("Azure")),
        tier: None,
        requests: 1,
        tokens: Tokens { input: 600, cache_read: 400, output: 100, reasoning: 0 },
        amount: money("0.0050001234"),
        tools: Amount::ZERO,
        rated: None,
        reported: None,
        upstream: Amount::ZERO,
        flags: Flags::NONE,
    }
}

/// An export of generations, with the columns that matter.
fn export(rows: &[&str]) -> Statement {
    let header = "generation_id,created_at,cost_total,tokens_prompt,tokens_cached,tokens_completion,model_permaslug,provider_name,cost_web_search,byok_usage_inference,cancelled,api_key_name";
    let rows: Vec<String> = rows.iter().map(|row| row.replace(",NOW,", ",2026-11-20 10:00:00.000,")).collect();
    generations_csv::read(&format!("{header}\n{}\n", rows.join("\n"))).unwrap()
}

fn compared(book: &Book, statement: &Statement) -> Comparison {
    compare(book, statement, november(), &Tolerance::default()).unwrap()
}

/// What was found, in short: class, cause, expected, observed, entries and lines.
fn found(comparison: &Comparison) -> Vec<String> {
    let told = |variance: &Variance| {
        let Variance { class, cause, expected, observed, .. } = variance;
        let entries: Vec<i64> = comparison.entries_of(variance).iter().map(|sequence| sequence.0).collect();
        format!("{} {cause:?} {expected} -> {observed} {entries:?} {:?}", class.name(), comparison.lines_of(variance))
    };
    comparison.variances.iter().map(told).collect()
}

/// One booked call against one line of an export.
fn one(change: impl FnOnce(&mut Book, &mut Booked), row: &str) -> Vec<String> {
    let mut book = Book::default();
    let mut booked = call(&mut book, 1, "g1");
    change(&mut book, &mut booked);
    book.calls.push(&booked);
    found(&compared(&book, &export(&[row])))
}

#[test]
fn a_row_of_an_export_is_tested_by_itself_against_truncation() {
    let mut book = Book::default();
    let exact = Booked { amount: money("0.005"), ..call(&mut book, 2, "g2") };
    let negative = Booked { amount: money("-0.0000019"), ..call(&mut book, 3, "g3") };
    book.calls = Compact::from_iter([call(&mut book, 1, "g1"), exact, negative]);
    let rows = [
        "g1,NOW,0.005,1000,400,100,a/b,Azure,,,false,k",
        "g2,NOW,0.005,1000,400,100,a/b,Azure,,,false,k",
        "g3,NOW,-0.000001,1000,400,100,a/b,Azure,,,false,k",
    ];
    let comparison = compared(&book, &export(&rows));
    assert_eq!((comparison.matched.count, comparison.of(Class::Truncated).count), (1, 2));
    assert_eq!(comparison.of(Class::Truncated).amount, money("0.0000007766"));
    // Rounded up instead of cut is not how it is printed.
    let rounded = one(|_, booked| booked.amount = money("0.0049999"), "g1,NOW,0.005,1000,400,100,a/b,Azure,,,false,k");
    assert_eq!(rounded, ["price EndpointPrice 0.0049999 -> 0.005 [1] [2]"]);
    assert_eq!([cut_to_micros(money("-0.0000019")), cut_to_micros(money("0.0000019"))], [money("-0.000001"), money("0.000001")]);
}

#[test]
fn every_class_has_its_cause_entries_and_lines() {
    let same = |_: &mut Book, _: &mut Booked| {};
    let case = |what: Vec<String>, expected: &str| assert_eq!(what, [expected]);
    case(one(same, "g1,NOW,0.0055,1000,400,100,a/b,Azure,,,false,k"), "price EndpointPrice 0.0050001234 -> 0.0055 [1] [2]");
    case(one(same, "g1,NOW,0.0055,1000,400,100,a/b,Relace,,,false,k"), "price AnotherProvider 0.0050001234 -> 0.0055 [1] [2]");
    case(
        one(|_, call| call.reported = Some(money("0.00550012")), "g1,NOW,0.0055,1000,400,100,a/b,Azure,,,false,k"),
        "price ReportedWasNotBooked 0.0050001234 -> 0.0055 [1] [2]",
    );
    case(one(same, "g1,NOW,0.0055,1100,400,100,a/b,Azure,,,false,k"), "quantity CountsDiffer 0.0050001234 -> 0.0055 [1] [2]");
    case(one(same, "g1,NOW,0.0055,1000,300,100,a/b,Azure,,,false,k"), "cache_split CachedDiffers 0.0050001234 -> 0.0055 [1] [2]");
    case(one(same, "g1,NOW,0.0025,1000,400,100,a/b,Azure,,,false,k"), "tier HalfOrDouble 0.0050001234 -> 0.0025 [1] [2]");
    case(one(same, "g1,NOW,0.015,1000,400,100,a/b,Azure,0.01,,false,k"), "tool_charge ToolsDiffer 0.0050001234 -> 0.015 [1] [2]");
    case(
        one(
            |_, call| (call.amount, call.flags) = (money("0.0105"), Flags::BYOK),
            "g1,NOW,0.0005,1000,400,100,a/b,Azure,,0.01,false,k",
        ),
        "byok UpstreamWasAdded 0.0105 -> 0.0005 [1] [2]",
    );
    case(one(same, "g1,NOW,0,1000,400,100,a/b,Azure,,0.3,false,k"), "byok ByokHereOrThere 0.0050001234 -> 0 [1] [2]");
    case(
        one(
            |_, call| (call.amount, call.flags) = (Amount::ZERO, Flags::BYOK),
            "g1,NOW,0.015,1000,400,100,a/b,Azure,,0.3,false,k",
        ),
        "fee FeeDiffers 0 -> 0.015 [1] [2]",
    );
    case(
        one(
            |_, call| (call.amount, call.tokens, call.flags) = (Amount::ZERO, Tokens::default(), Flags::COUNTS_UNTOLD),
            "g1,NOW,0.015,1000,400,100,a/b,Azure,,,true,k",
        ),
        "quantity CancelledButBilled 0 -> 0.015 [1] [2]",
    );
    case(
        one(|_, call| call.amount = money("0.005"), "g1,NOW,0.005,57169,400,100,a/b,Azure,,,false,k"),
        "quantity CountsDifferForNothing 0.005 -> 0.005 [1] [2]",
    );
    case(
        one(
            |_, call| call.at = at("2026-10-31T23:59:59.9Z"),
            "g1,2026-11-01 00:00:00.100,0.005,1000,400,100,a/b,Azure,,,false,k",
        ),
        "timing AnotherDay 0 -> 0.0050001234 [1] [2]",
    );
    case(
        one(same, "g1,2026-12-01 00:00:00.100,0.005,1000,400,100,a/b,Azure,,,false,k"),
        "timing AnotherDay 0.0050001234 -> 0 [1] [2]",
    );
}

#[test]
fn what_only_one_side_has_is_told_by_what_is_known_of_it() {
    let mut book = Book::default();
    book.metered = Some(vec![book.names.name("prod")]);
    let free = Booked { amount: Amount::ZERO, ..call(&mut book, 5, "g0") };
    let early = Booked { at: at("2026-10-20T10:00:00Z"), ..call(&mut book, 6, "g8") };
    book.calls = Compact::from_iter([
        call(&mut book, 1, "g1"),
        call(&mut book, 2, "g2"),
        call(&mut book, 3, "g2"),
        call(&mut book, 4, ""),
        free,
        early,
    ]);
    let rows = [
        "g2,NOW,0.005,1000,400,100,a/b,Azure,,,false,prod",
        "g3,NOW,0.1,1000,400,100,a/b,Azure,,,false,prod",
        "g4,NOW,0.2,1000,400,100,a/b,Azure,,,true,prod",
        "g5,NOW,0,0,0,0,a/b,Azure,,,false,prod",
        "g6,NOW,0.3,1000,400,100,a/b,Azure,,,false,",
        "g7,NOW,0.4,1000,400,100,a/b,Azure,,,false,laptop",
        "g9,2026-12-24 10:00:00.000,9,1000,400,100,a/b,Azure,,,false,prod",
    ];
    let tolerance = Tolerance { window: 0, ..Tolerance::default() };
    let mut statement = export(&rows);
    let later = |line: Line| Line { at: Instant::from_micros(line.at.micros() + 1), ..line };
    statement.lines = statement.lines.iter().map(later).collect();
    let comparison = compare(&book, &statement, november(), &tolerance).unwrap();
    assert_eq!(
        found(&comparison),
        [
            "missing_here CancelledThere 0 -> 0.2 [] [4]",
            "missing_here NeverSent 0 -> 0.1 [] [3]",
            "missing_here FreeThere 0 -> 0 [] [5]",
            "missing_there NotClaimed 0.0050001234 -> 0 [1] []",
            "missing_there NoIdHere 0.0050001234 -> 0 [4] []",
            "unmetered AnotherKey 0 -> 0.4 [] [7]",
            "unmetered WithoutKey 0 -> 0.3 [] [6]",
            "duplicate_here SameGeneration 0.0050001234 -> 0 [3, 2] []",
        ]
    );
    assert_eq!((comparison.statement_total, comparison.book_total), (money("1.005"), money("0.0200004936")));
    let acted_upon = Tolerance { accepted: money("0.1"), ..tolerance };
    assert_eq!(comparison.outside(&acted_upon).count(), 3);
    assert!(comparison.variances.iter().all(|v| !v.cause.in_words().is_empty() && !v.cause.next_step().is_empty()));
}

#[test]
fn a_record_tells_the_tier_and_its_amounts_are_exact() {
    let record = |cost: &str, tier: &str| {
        format!(
            r#"{{"data":{{"id":"g1","created_at":"2026-11-20T10:00:00Z","model":"a/b","total_cost":{cost},"native_tokens_prompt":1000,
                "native_tokens_completion":100,"native_tokens_cached":400,"provider_name":"Azure","service_tier":{tier}}}}}"#
        )
    };
    let mut book = Book::default();
    book.calls = Compact::from_iter([call(&mut book, 1, "g1")]);
    let of = |cost: &str, tier: &str| {
        let comparison = compared(&book, &generation::read(&[&record(cost, tier)]).unwrap());
        (comparison.matched.count, comparison.of(Class::Rounding).count, found(&comparison))
    };
    assert_eq!(of("0.0050001234", "null"), (1, 0, vec![]));
    assert_eq!(of("0.00500012340000001", "null"), (0, 1, vec![]));
    assert_eq!(of("0.003", "\"flex\"").2, ["tier TierDiffers 0.0050001234 -> 0.003 [1] [1]"]);
    assert_eq!(of("0.0050001", "\"default\"").2, ["price EndpointPrice 0.0050001234 -> 0.0050001 [1] [1]"]);
}

#[test]
fn analytics_name_what_is_missing_though_they_tell_no_counts() {
    let answer = r#"{"data":{"data":[{"created_at__minute":"2026-11-20T10:00:00Z","generation_id":"g1","api_key_id":"prod","credits_usage":0.0050001234},
        {"created_at__minute":"2026-11-20T10:00:00Z","generation_id":"g2","api_key_id":null,"credits_usage":0.5}],"metadata":{"truncated":false}}}"#;
    let mut book = Book::default();
    book.calls = Compact::from_iter([call(&mut book, 1, "g1")]);
    let comparison = compared(&book, &analytics::read(&[answer]).unwrap());
    assert_eq!((comparison.matched.count, found(&comparison)), (1, vec!["unmetered WithoutKey 0 -> 0.5 [] [2]".to_owned()]));
}

/// Days of activity: date, model, provider, cost, requests, prompt and cached tokens.
fn days(rows: &[(&str, &str, &str, &str, u64, u64, u64)]) -> Statement {
    let row = |(date, model, provider, cost, requests, prompt, cached): &(&str, &str, &str, &str, u64, u64, u64)| {
        format!(
            r#"{{"date":"{date} 00:00:00","model_permaslug":"{model}","provider_name":"{provider}","usage":{cost},"requests":{requests},
                "prompt_tokens":{prompt},"completion_tokens":{},"reasoning_tokens":0,"cached_tokens":{cached},"endpoint_id":"e"}}"#,
            requests * 100
        )
    };
    let rows: Vec<String> = rows.iter().map(row).collect();
    activity::read(&format!(r#"{{"data":[{}]}}"#, rows.join(",")), None).unwrap()
}

#[test]
fn days_are_compared_by_model_and_by_provider_where_both_name_the_same() {
    let mut book = Book::default();
    let azure = call(&mut book, 1, "g1");
    let relace = Booked { served_by: Some(book.names.name("Relace")), ..call(&mut book, 2, "g2") };
    book.calls = Compact::from_iter([azure, relace]);
    let rows =
        [("2026-11-20", "a/b", "Azure", "0.0050001234", 1, 1_000, 400), ("2026-11-20", "a/b", "Relace", "0.006", 1, 1_000, 400)];
    let by_provider = compared(&book, &days(&rows));
    assert_eq!(
        (by_provider.matched.count, found(&by_provider)),
        (1, vec!["price EndpointPrice 0.0050001234 -> 0.006 [2] [2]".to_owned()])
    );
    // A tag instead of a name: then only the model is left to go by.
    let rows = [
        ("2026-11-20", "a/b", "Azure", "0.0050001234", 1, 1_000, 400),
        ("2026-11-20", "a/b", "stealth/int8", "0.006", 1, 1_000, 400),
    ];
    let by_model = compared(&book, &days(&rows));
    assert_eq!(found(&by_model), ["price EndpointPrice 0.0100002468 -> 0.0110001234 [1, 2] [1, 2]"]);
}

#[test]
fn what_one_day_lacks_and_another_has_is_late_and_not_lost() {
    let mut book = Book::default();
    book.calls = Compact::from_iter([call(&mut book, 1, "g1"), call(&mut book, 2, "g2"), call(&mut book, 3, "g3")]);
    let rows = [
        ("2026-11-20", "a/b", "Azure", "0.0100002468", 2, 2_000, 800),
        ("2026-11-23", "a/b", "Azure", "0.0050001234", 1, 1_000, 400),
    ];
    let comparison = compared(&book, &days(&rows));
    assert_eq!(
        found(&comparison),
        ["timing AnotherDay 0.0150003702 -> 0.0100002468 [1, 2, 3] [1]", "timing AnotherDay 0 -> 0.0050001234 [] [2]"]
    );
    assert_eq!(comparison.of(Class::Timing).amount, Amount::ZERO);
    // A week later it is something else.
    let rows = [rows[0], ("2026-11-28", "a/b", "Azure", "0.0050001234", 1, 1_000, 400)];
    let classes: Vec<_> = compared(&book, &days(&rows)).variances.iter().map(|variance| variance.class).collect();
    assert_eq!(classes, [Class::MissingThere, Class::MissingHere]);
}

#[test]
fn of_two_bookings_of_one_generation_the_nearer_one_stands() {
    let mut book = Book::default();
    book.calls = Compact::from_iter([Booked { amount: money("0.9"), ..call(&mut book, 1, "g1") }, call(&mut book, 2, "g1")]);
    let comparison = compared(&book, &export(&["g1,NOW,0.005,1000,400,100,a/b,Azure,,,false,k"]));
    assert_eq!(found(&comparison), ["duplicate_here SameGeneration 0.9 -> 0 [1, 2] []"]);
    assert_eq!(comparison.of(Class::Truncated).count, 1);
}

#[test]
fn a_day_of_a_key_that_sends_nothing_here_is_not_missing() {
    let mut book = Book::default();
    book.metered = Some(vec![book.names.name("prod")]);
    let answer = r#"{"data":[{"date":"2026-11-20","model_permaslug":"a/b","usage":0.5,"requests":1}]}"#;
    let of_key = |key: &str| found(&compared(&book, &activity::read(answer, Some(key)).unwrap()));
    assert_eq!(of_key("laptop"), ["unmetered AnotherKey 0 -> 0.5 [] [1]"]);
    assert_eq!(of_key("prod"), ["missing_here NeverSent 0 -> 0.5 [] [1]"]);
    let chart = chart_csv::read("date,api_key_name,credits_usage\n2026-11-20,,0.5\n").unwrap();
    assert_eq!(found(&compared(&book, &chart)), ["unmetered WithoutKey 0 -> 0.5 [] [2]"]);
}

#[test]
fn a_chart_with_estimates_of_upstreams_is_not_mistaken_for_a_charge() {
    let mut book = Book::default();
    let byok = Booked { amount: money("0.01"), upstream: money("0.2"), flags: Flags::BYOK, ..call(&mut book, 1, "g1") };
    book.calls = Compact::from_iter([byok]);
    let chart = chart_csv::read("date,model,spend,requests\n2026-11-20,a/b,0.21,1\n").unwrap();
    assert_eq!(found(&compared(&book, &chart)), ["byok UpstreamInStatement 0.01 -> 0.21 [1] [2]"]);
    let half = Period { until: at("2026-11-20T12:00:00Z"), ..november() };
    let refused = compare(&book, &chart, half, &Tolerance::default()).unwrap_err();
    assert!(matches!(refused, CannotCompare::NoWholeDays { .. }), "{refused}");
}

#[test]
fn a_guess_says_how_far_apart_its_times_are_and_who_else_it_could_have_been() {
    let mut book = Book::default();
    let later = Booked { at: at("2026-11-20T10:01:00Z"), ..call(&mut book, 2, "") };
    let other =
        Booked { at: at("2026-11-20T10:00:10Z"), tokens: Tokens { input: 7, ..Tokens::default() }, ..call(&mut book, 3, "") };
    book.calls = Compact::from_iter([call(&mut book, 1, ""), later, Booked { amount: money("0.7"), ..other }]);
    let rows = [
        "g1,2026-11-20 10:00:02.000,0.005,1000,400,100,a/b,Azure,,,false,k",
        "g2,2026-11-20 10:01:05.000,0.005,1000,400,100,a/b,Azure,,,false,k",
        "g3,2026-11-20 10:00:11.000,0.7,9,0,0,a/b,Azure,,,false,k",
        "g4,2026-11-20 12:00:00.000,0.005,1000,400,100,a/b,Azure,,,false,k",
    ];
    let comparison = compared(&book, &export(&rows));
    let guesses: Vec<_> = comparison.guesses.iter().map(|g| (g.sequence.0, g.line, g.apart, g.margin)).collect();
    let second = 1_000_000;
    assert_eq!(guesses, [(1, 2, 2 * second, Some(56 * second)), (2, 3, 5 * second, Some(53 * second)), (3, 4, second, None)]);
    let classes: Vec<_> = comparison.variances.iter().map(|variance| (variance.class, variance.cause)).collect();
    assert_eq!(classes, [(Class::MissingHere, Cause::NeverSent), (Class::Quantity, Cause::CountsDifferForNothing)]);
}

#[test]
fn calls_that_are_all_alike_and_all_at_once_each_get_a_line() {
    let mut book = Book::default();
    book.calls = (0..200).map(|sequence| call(&mut book, sequence, "")).collect();
    let rows: Vec<String> = (0..200).map(|row| format!("g{row},NOW,0.005,1000,400,100,a/b,Azure,,,false,k")).collect();
    let comparison = compared(&book, &export(&rows.iter().map(String::as_str).collect::<Vec<_>>()));
    assert_eq!((comparison.guesses.len(), comparison.variances.len()), (200, 0));
    assert_eq!(comparison.guesses[0].margin, Some(0), "it could have been any other");
}

/// How many of the guesses are right is printed and must not fall. All share one model; counts repeat every few hundred calls.
#[test]
fn guesses_are_right_nearly_always() {
    let (mut right, mut made, mut all) = (0, 0, 0);
    for seed in 0..20 {
        let mut random = Random::new(seed);
        let mut book = Book::default();
        let (mut rows, mut lines) = (Vec::new(), Vec::new());
        let header = "generation_id,created_at,cost_total,tokens_prompt,tokens_cached,tokens_completion,model_permaslug";
        for number in 0..400_i64 {
            let micros = at("2026-11-20T00:00:00Z").micros() + random.below(86_400_000) as i64 * 1_000;
            let input = 100 + random.below(200);
            let amount = Amount::from_units(i128::from(input) * 2 * 10_i128.pow(17) + 3 * 10_i128.pow(18));
            let tokens = Tokens { input, cache_read: 0, output: 10, reasoning: 0 };
            let booked = Booked { at: Instant::from_micros(micros), tokens, amount, ..call(&mut book, number, "") };
            let printed = Instant::from_micros(micros + random.below(8_000_000) as i64);
            // One in ten is on one side only.
            if random.below(10) > 0 {
                book.calls.push(&booked);
            }
            if random.below(10) > 0 {
                rows.push(format!("g{number},{printed},{},{input},0,10,a/b", cut_to_micros(amount)));
                lines.push(number);
            }
        }
        let statement = generations_csv::read(&format!("{header}\n{}\n", rows.join("\n"))).unwrap();
        let comparison = compared(&book, &statement);
        made += comparison.guesses.len();
        right += comparison.guesses.iter().filter(|guess| lines[guess.line as usize - 2] == guess.sequence.0).count();
        all += book.calls.iter().filter(|call| lines.contains(&call.sequence.0)).count();
    }
    println!("{right} of {made} guesses are right, of {all} that could be made");
    assert!(right * 100 >= made * 99, "precision fell: {right} of {made}");
    assert!(right * 100 >= all * 99, "recall fell: {right} of {all}");
}

#[test]
fn finer_meters_are_taken_together_as_the_statement_counts_them() {
    let counts = [
        (Meter::Input, 1),
        (Meter::CacheRead, 10),
        (Meter::CacheWrite, 100),
        (Meter::CacheWrite1h, 1_000),
        (Meter::AudioCacheRead, 10_000),
        (Meter::ImageInput, 100_000),
        (Meter::Output, 2),
        (Meter::AudioOutput, 20),
        (Meter::Reasoning, 200),
        (Meter::WebSearch, 9),
    ];
    let tokens = Tokens::of(&Quantities::of(&counts));
    assert_eq!(tokens, Tokens { input: 101_101, cache_read: 10_010, output: 22, reasoning: 200 });
}
