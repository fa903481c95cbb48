//! What one night leaves to the next: a day on which something was booked since, a look that was missed, and what was not
//! asked for yet. Whatever of it happens, each day ends at the settled amount.

use super::fetched::{asked_for, books, opened, record};
use super::scheduled::day;
use super::*;
use crate::support::provider::{Provider, Say, json as answer, status};
use farthing::flow::reconcile::fetch::{Allowance, Fetching};
use farthing::flow::reconcile::figures::Alerts;
use farthing::flow::reconcile::scheduled::{Policy, TrueUps};
use farthing::reconcile::statement::Form;
use farthing::time::{Instant, Period};
use std::collections::BTreeSet;
use std::sync::{Arc, Mutex, MutexGuard};

/// What was billed, and which records are known; a question that begins with one of these is refused.
#[derive(Default)]
struct Billed {
    generations: Vec<(&'static str, u64, &'static str)>,
    known: BTreeSet<&'static str>,
    refused: Vec<(&'static str, u16)>,
    /// What was bought and what was used, as the balance has it.
    credits: (&'static str, &'static str),
    /// By how much it may differ, where it is looked at.
    tolerance: Option<Amount>,
    alerts: Alerts,
    /// Always, unless it says otherwise.
    true_ups: Option<TrueUps>,
}

impl Billed {
    fn say(&self, request: &str) -> Say {
        if let Some((_, code)) = self.refused.iter().find(|(begin, _)| request.starts_with(begin)) {
            return status(*code);
        }
        let date = request.split_once("date=").or(request.split_once(r#""start":""#)).map(|(_, rest)| rest[..10].to_owned());
        match (date, asked_for(request)) {
            (Some(date), _) if request.starts_with("GET") => answer(self.activity(&date)),
            (Some(date), _) => answer(self.list(&date)),
            (_, Some(id)) => {
                let known = self.generations.iter().find(|(known, ..)| *known == id && self.known.contains(known));
                known.map_or(status(404), |(id, ago, cost)| {
                    let fields = json!({"created_at": format!("{}T12:00:00Z", day(*ago)), "external_user": "bo"});
                    answer(record(id, cost, &fields))
                })
            }
            _ => {
                let (bought, used) = self.credits;
                answer(format!(r#"{{"data":{{"total_credits":{bought},"total_usage":{used}}}}}"#))
            }
        }
    }

    fn on<'b>(&'b self, date: &'b str) -> impl Iterator<Item = &'b (&'static str, u64, &'static str)> {
        self.generations.iter().filter(move |(_, ago, _)| day(*ago) == date)
    }

    fn activity(&self, date: &str) -> String {
        let costs: Vec<Amount> = self.on(date).map(|(.., cost)| money(cost)).collect();
        let (sum, count) = (costs.iter().copied().sum::<Amount>(), costs.len());
        let row = format!(
            r#"{{"date":"{date} 00:00:00","model_permaslug":"a/b-20260101","usage":{sum},"requests":{count},"prompt_tokens":{},"completion_tokens":0}}"#,
            count * 1_000
        );
        format!(r#"{{"data":[{}]}}"#, if count == 0 { "" } else { &row })
    }

    fn list(&self, date: &str) -> String {
        let row = |(id, _, cost): &(&str, u64, &str)| {
            format!(
                r#"{{"created_at__minute":"{date}T12:00:00Z","generation_id":"gen-{id}","api_key_id":"prod","credits_usage":{cost}}}"#
            )
        };
        let rows: Vec<String> = self.on(date).map(row).collect();
        format!(r#"{{"data":{{"data":[{}],"metadata":{{"truncated":false}}}}}}"#, rows.join(","))
    }
}

/// A provider whose books may change between two nights.
struct Nights {
    provider: Provider,
    billed: Arc<Mutex<Billed>>,
}

impl Nights {
    fn of(generations: &[(&'static str, u64, &'static str)]) -> Nights {
        let billed = Arc::new(Mutex::new(Billed { generations: generations.to_vec(), ..Billed::default() }));
        let told = billed.clone();
        Nights { provider: Provider::answering(move |request| told.lock().unwrap().say(request)), billed }
    }

    fn books(&self) -> MutexGuard<'_, Billed> {
        self.billed.lock().unwrap()
    }

    fn knows(&self, ids: &[&'static str]) {
        self.books().known.extend(ids);
    }

    async fn night(&self, farthing: &Farthing, most: usize) -> Result<String, String> {
        let fetching = if most == 0 { Fetching::Never } else { Fetching::UpTo(most) };
        let (balance, alerts, true_ups) = {
            let books = self.books();
            (books.tolerance, books.alerts.clone(), books.true_ups.unwrap_or(TrueUps::Always))
        };
        let policy = Policy { asked: Asked::default(), fetching, true_ups, balance, alerts };
        let done = farthing.reconcile_days(ORG, &books(&self.provider), &policy).await;
        done.map(|said| said.join("; ")).map_err(|why| why.to_string())
    }

    /// How many questions began so.
    fn asked(&self, begin: &str) -> usize {
        self.provider.asked().iter().filter(|request| request.starts_with(begin)).count()
    }
}

fn activity_of(ago: u64) -> String {
    format!("GET /api/v1/activity?date={}", day(ago))
}

fn midnight(ago: u64) -> Instant {
    Instant::parse_date_or_instant(&day(ago)).unwrap()
}

/// Makes the last look at a day as long ago as this.
async fn was_looked_at(farthing: &Farthing, ago: u64, last: u64) {
    for (number, stated) in farthing.statements(ORG).await.unwrap() {
        if stated.from == midnight(ago).to_string() {
            farthing.store.note_followed(ORG, number, midnight(last)).await.unwrap();
        }
    }
}

const WHO: [&str; 3] = ["payable:openrouter", "cost:-/-", "cost:-/bo"];

#[test]
fn what_is_answered_only_after_its_day_was_settled_is_booked_and_the_day_is_settled_again() {
    both(async |database| {
        let farthing = opened(database).await;
        let nights = Nights::of(&[("lost", 5, "0.25"), ("late", 9, "0.5")]);
        nights.night(&farthing, 100).await.unwrap();
        assert_eq!(balances(&farthing, WHO).await, ["-0.75", "0.75", "-"]);
        nights.knows(&["lost"]);
        nights.night(&farthing, 100).await.unwrap();
        assert_eq!(balances(&farthing, WHO).await, ["-0.75", "0.5", "0.25"]);

        // The same where whoever asked for it ended before it came to the day.
        nights.knows(&["late"]);
        assert_eq!(farthing.fetch_again(ORG, &books(&nights.provider), 100).await.unwrap().posted, 1);
        assert_eq!(balances(&farthing, WHO).await, ["-1.25", "0.5", "0.75"]);
        nights.night(&farthing, 0).await.unwrap();
        assert_eq!(balances(&farthing, WHO).await, ["-0.75", "0", "0.75"]);
        let asked = nights.asked(&activity_of(9));
        nights.night(&farthing, 100).await.unwrap();
        assert_eq!(nights.asked(&activity_of(9)), asked, "nothing is open any more");
        whole(&farthing).await;
    });
}

#[test]
fn a_person_is_told_once_where_too_little_came_by_itself_or_the_books_are_too_far_apart() {
    both(async |database| {
        let farthing = opened(database).await;
        send(&farthing, &call("here", &format!("{}T12:00:00Z", day(5)), &json!({}))).await;
        let nights = Nights::of(&[("here", 5, "0.001"), ("lost", 5, "0.003")]);
        nights.knows(&["lost"]);
        nights.books().alerts = Alerts { captured: Some(250_001), drift: Some(money("0.002")) };
        for _ in 0..2 {
            nights.night(&farthing, 100).await.unwrap();
            let notices = farthing.store.notices(ORG, Some("reconciliation.alert"), 10).await.unwrap();
            let told = |body: &str| {
                let body: Value = serde_json::from_str(body).unwrap();
                ["day", "figure", "value", "allowed"].map(|name| body[name].as_str().unwrap().to_owned()).join(" ")
            };
            let mut said: Vec<String> = notices.iter().map(|notice| told(&notice.body)).collect();
            said.sort();
            let of_day = |rest: &str| format!("{} {rest}", day(5));
            assert_eq!(said, [of_day("captured 0.250000 0.250001"), of_day("drift 0.003 0.002")], "although it was fetched then");
        }
        assert_eq!(balances(&farthing, WHO).await, ["-0.004", "-", "0.003"]);
    });
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = opened(&database).await;
        send(&farthing, &call("here", &format!("{}T12:00:00Z", day(5)), &json!({}))).await;
        let nights = Nights::of(&[("here", 5, "0.001"), ("lost", 5, "0.003")]);
        nights.books().alerts = Alerts { captured: Some(250_000), drift: Some(money("0.003")) };
        nights.night(&farthing, 0).await.unwrap();
        assert_eq!(farthing.store.notices(ORG, Some("reconciliation.alert"), 10).await.unwrap().len(), 0, "as much is allowed");
    });
}

#[test]
fn true_ups_up_to_an_amount_are_posted_and_larger_ones_are_left_to_a_person() {
    both(async |database| {
        let farthing = opened(database).await;
        let nights = Nights::of(&[("small", 5, "0.25"), ("large", 9, "0.250001")]);
        nights.books().true_ups = Some(TrueUps::named("0.25").unwrap());
        nights.night(&farthing, 0).await.unwrap();
        assert_eq!(balances(&farthing, WHO).await, ["-0.25", "0.25", "-"]);
        nights.books().true_ups = Some(TrueUps::named("never").unwrap());
        was_looked_at(&farthing, 9, 8).await;
        nights.night(&farthing, 0).await.unwrap();
        assert_eq!(balances(&farthing, WHO).await, ["-0.25", "0.25", "-"]);
        whole(&farthing).await;
    });
}

#[test]
fn a_day_of_which_nothing_more_is_told_is_settled_again_by_what_was_kept_of_it() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = opened(&database).await;
        let nights = Nights::of(&[("lost", 40, "0.25")]);
        let keep = async |form, text: String| {
            let days = Some(Period { from: midnight(40), until: midnight(39) });
            let origin = Origin { form: Some(form), days, ..Origin::default() };
            farthing.import_statement(ORG, &text, &origin).await.unwrap().statement
        };
        let of_day = nights.books().activity(&day(40));
        let list = nights.books().list(&day(40));
        let of_day = keep(Form::Activity, of_day).await;
        let list = compare(&farthing, keep(Form::Analytics, list).await).await;
        farthing.fetch_missing(ORG, &books(&nights.provider), &list, Allowance::of(100)).await.unwrap();
        farthing.true_up(ORG, &compare(&farthing, of_day).await, None, "ann").await.unwrap();
        farthing.store.note_followed(ORG, of_day, midnight(11)).await.unwrap();
        assert_eq!(balances(&farthing, WHO).await, ["-0.25", "0.25", "-"]);
        nights.knows(&["lost"]);
        nights.night(&farthing, 100).await.unwrap();
        assert_eq!(balances(&farthing, WHO).await, ["-0.25", "0", "0.25"]);
        assert_eq!(nights.asked(&activity_of(40)), 0);
        whole(&farthing).await;
    });
}

#[test]
fn a_look_that_was_missed_or_failed_is_made_by_a_later_night() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = opened(&database).await;
        let nights = Nights::of(&[("a", 5, "0.25")]);
        nights.night(&farthing, 0).await.unwrap();
        // What lands late lands between the first look and the one that was due after three days.
        nights.books().generations.push(("b", 5, "0.5"));
        let asked = nights.asked(&activity_of(5));
        nights.night(&farthing, 0).await.unwrap();
        was_looked_at(&farthing, 5, 2).await;
        nights.night(&farthing, 0).await.unwrap();
        assert_eq!(nights.asked(&activity_of(5)), asked, "it was looked at after three days");

        was_looked_at(&farthing, 5, 4).await;
        nights.books().refused.push(("GET /api/v1/activity", 400));
        let failed = nights.night(&farthing, 0).await.unwrap_err();
        assert!(failed.contains(&day(5)) && failed.contains("answered 400"), "{failed}");
        nights.books().refused.clear();
        nights.night(&farthing, 0).await.unwrap();
        assert_eq!(balance(&farthing, "payable:openrouter").await, "-0.75");
        let asked = nights.asked(&activity_of(5));
        nights.night(&farthing, 0).await.unwrap();
        assert_eq!(nights.asked(&activity_of(5)), asked);
    });
}

/// A night marks a day before it compares and ends the mark afterwards; whoever books in between takes it away.
#[test]
fn a_day_on_which_more_is_booked_while_it_is_settled_stays_open() {
    both(async |database| {
        let farthing = opened(database).await;
        let (day, began) = (7, midnight(1));
        let open_days = async || farthing.store.followed(ORG).await.unwrap().get(&day).copied();
        farthing.store.begin_following(ORG, day, began).await.unwrap();
        assert_eq!(open_days().await, Some(None), "it is being settled");
        farthing.store.end_following(ORG, day, began).await.unwrap();
        assert_eq!(open_days().await, Some(Some(began)));
        farthing.store.begin_following(ORG, day, midnight(0)).await.unwrap();
        farthing.store.reopen_followed(ORG, day).await.unwrap();
        farthing.store.end_following(ORG, day, midnight(0)).await.unwrap();
        assert_eq!(open_days().await, Some(None), "more was booked meanwhile");
    });
}

#[test]
fn a_newer_word_over_which_a_run_broke_off_is_taken_up_by_the_next() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = opened(&database).await;
        let nights = Nights::of(&[("a", 5, "0.25")]);
        nights.night(&farthing, 0).await.unwrap();
        nights.books().generations.push(("b", 5, "0.5"));
        let date = midnight(5).to_utc().date_naive();
        farthing.fetch_day(ORG, &books(&nights.provider), date, None).await.unwrap();
        nights.night(&farthing, 0).await.unwrap();
        assert_eq!(balance(&farthing, "payable:openrouter").await, "-0.75");
    });
}

#[test]
fn a_day_is_done_only_when_nothing_of_it_was_left_to_another_night() {
    both(async |database| {
        let farthing = opened(database).await;
        let nights = Nights::of(&[("a", 5, "0.25"), ("b", 5, "0.5"), ("c", 7, "0.125")]);
        nights.knows(&["a", "b", "c"]);
        // Of the three only one may be asked for in a night.
        for borne in ["0.125", "0.625", "0.875"] {
            nights.night(&farthing, 1).await.unwrap();
            assert_eq!(balances(&farthing, ["payable:openrouter", "cost:-/bo"]).await, ["-0.875", borne]);
        }
        let asked = nights.asked(&activity_of(5));
        nights.night(&farthing, 1).await.unwrap();
        assert_eq!(nights.asked(&activity_of(5)), asked);
        whole(&farthing).await;
    });
}

#[test]
fn a_day_whose_list_could_not_be_had_is_asked_for_again_by_the_next_night() {
    block_on(async {
        for code in [400, 500] {
            let database = TestDatabase::sqlite();
            let farthing = opened(&database).await;
            let nights = Nights::of(&[("a", 5, "0.25"), ("b", 6, "0.5")]);
            nights.knows(&["a", "b"]);
            nights.books().refused.push(("POST /api/v1/analytics", code));
            let failed = nights.night(&farthing, 100).await.unwrap_err();
            assert!(failed.contains(&format!("answered {code}")), "{failed}");
            nights.books().refused.clear();
            nights.night(&farthing, 100).await.unwrap();
            assert_eq!(balances(&farthing, WHO).await, ["-0.75", "0", "0.75"], "{code}");
        }
    });
}

#[test]
fn what_is_never_answered_leaves_the_days_half_of_what_may_be_asked_for() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = opened(&database).await;
        let nights = Nights::of(&[("n1", 9, "0.1"), ("n2", 9, "0.2"), ("n3", 3, "0.3"), ("n4", 3, "0.4")]);
        nights.night(&farthing, 100).await.unwrap();
        nights.books().generations.push(("lost", 1, "0.25"));
        nights.knows(&["lost"]);
        nights.night(&farthing, 2).await.unwrap();
        assert_eq!(balances(&farthing, WHO).await, ["-1.25", "1", "0.25"]);
        // What was asked for in vain longest ago comes next, of whatever day it is.
        let before = [9, 3].map(|_| nights.asked("GET /api/v1/generation"));
        nights.night(&farthing, 4).await.unwrap();
        assert_eq!(nights.asked("GET /api/v1/generation"), before[0] + 1);
    });
}

/// Changes what was received of a statement behind the book's back.
async fn break_statement(database: &TestDatabase, number: i64) {
    let pool = sqlx::SqlitePool::connect(&database.url).await.unwrap();
    let triggers = "SELECT name FROM sqlite_master WHERE type = 'trigger' AND tbl_name = 'statements'";
    let triggers: Vec<(String,)> = sqlx::query_as(triggers).fetch_all(&pool).await.unwrap();
    for (trigger,) in triggers {
        sqlx::raw_sql(sqlx::AssertSqlSafe(format!("DROP TRIGGER {trigger}"))).execute(&pool).await.unwrap();
    }
    sqlx::query("UPDATE statements SET body = CAST('broken' AS BLOB) WHERE statement = $1")
        .bind(number)
        .execute(&pool)
        .await
        .unwrap();
    pool.close().await;
}

#[test]
fn a_statement_that_cannot_be_compared_keeps_no_other_from_being_asked_for_and_the_run_ends_with_it() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = opened(&database).await;
        let nights = Nights::of(&[("one", 6, "0.25"), ("other", 5, "0.5")]);
        nights.night(&farthing, 100).await.unwrap();
        let lists: Vec<i64> =
            farthing.statements(ORG).await.unwrap().into_iter().filter(|(_, s)| s.form == "analytics").map(|(n, _)| n).collect();
        let [one, _] = lists[..] else { panic!("{lists:?}") };
        break_statement(&database, one).await;
        nights.knows(&["one", "other"]);
        let failed = nights.night(&farthing, 100).await.unwrap_err();
        assert!(failed.contains(&format!("statement {one}: ")) && failed.contains("it is not what was received"), "{failed}");
        assert_eq!(balances(&farthing, WHO).await, ["-0.75", "0.25", "0.5"]);
    });
}

#[test]
fn of_several_days_one_whose_list_is_refused_keeps_no_other_and_nobody_is_asked_who_is_away() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = opened(&database).await;
        let nights = Nights::of(&[("a", 3, "0.25"), ("b", 2, "0.5"), ("c", 1, "0.125")]);
        nights.knows(&["a", "b", "c"]);
        let row = |ago: u64| nights.books().activity(&day(ago)).replace(r#"{"data":["#, "").replace("]}", "");
        let text = format!(r#"{{"data":[{}]}}"#, [row(3), row(2), row(1)].join(","));
        let run = compare(&farthing, import(&farthing, &text).await).await;
        let fetch = async || farthing.fetch_for(ORG, &books(&nights.provider), &run, Allowance::of(100)).await.unwrap();

        nights.books().refused.push(("GET /api/v1/generation", 500));
        let away = fetch().await;
        assert!(away.stopped.as_deref().is_some_and(|why| why.contains("answered 500")), "{away}");
        assert_eq!(nights.asked("POST /api/v1/analytics"), 1);
        nights.books().refused.clear();

        nights.provider.will_say([status(400)]);
        let fetched = fetch().await;
        assert_eq!((fetched.posted, fetched.failed.len(), &fetched.stopped), (2, 1, &None), "{fetched}");
        assert!(fetched.failed[0].starts_with(&format!("the generations of {}: ", day(3))), "{fetched}");
        assert_eq!(findings(&compare(&farthing, run.kept.statement).await), ["missing_here 0.25"]);
    });
}

#[test]
fn a_night_looks_at_the_balance_and_tells_of_what_it_differs_by() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = open(&database).await;
        let nights = Nights::of(&[]);
        nights.books().tolerance = Some(money("0.5"));
        let told = async || farthing.store.notices(ORG, Some("reconciliation.variance"), 10).await.unwrap();
        let night = async |bought: &'static str, used: &'static str| {
            nights.books().credits = (bought, used);
            nights.night(&farthing, 0).await
        };
        let said = night("100", "7.5").await.unwrap();
        assert!(said.ends_with("balance: the first look, beside which the next one is laid"), "{said}");

        // A thousandth is booked and two were used, which is within the tolerance.
        send(&farthing, &call("between", &now().to_string(), &json!({}))).await;
        let said = night("100", "7.502").await.unwrap();
        assert!(said.ends_with(": usage 0.001 here, 0.002 there; credits 0 here, 0 there; 0 variances"), "{said}");
        assert_eq!(told().await.len(), 0);

        // A night that cannot be told of it leaves it to the next one.
        nights.books().refused = vec![("GET /api/v1/credits", 403)];
        let said = night("110", "7.502").await.unwrap_err();
        assert!(said.contains("the balance: "), "{said}");
        nights.books().refused.clear();
        farthing.fetch_balance(ORG, &books(&nights.provider)).await.unwrap();
        let said = night("110", "7.502").await.unwrap();
        assert!(said.ends_with(": usage 0 here, 0 there; credits 0 here, 10 there; 1 variances"), "{said}");
        let notices = told().await;
        let body: Value = serde_json::from_str(&notices[0].body).unwrap();
        assert_eq!(notices.len(), 1, "{body}");
        let variance = &body["variances"][0];
        assert_eq!((&variance["class"], &variance["amount"]), (&json!("credits"), &json!("10")));

        // Where nobody asked for it nobody looks.
        let asked = nights.asked("GET /api/v1/credits");
        nights.books().tolerance = None;
        nights.night(&farthing, 0).await.unwrap();
        assert_eq!(nights.asked("GET /api/v1/credits"), asked);
        whole(&farthing).await;
    });
}

#[test]
fn a_day_that_was_never_done_and_is_told_of_no_more_is_settled_when_more_is_booked_on_it() {
    block_on(async {
        let database = TestDatabase::sqlite();
        let farthing = opened(&database).await;
        let nights = Nights::of(&[("old", 40, "0.5")]);
        let text = nights.books().activity(&day(40));
        let days = Period { from: midnight(40), until: midnight(39) };
        let origin = Origin { form: Some(Form::Activity), days: Some(days), ..Origin::default() };
        let statement = farthing.import_statement(ORG, &text, &origin).await.unwrap().statement;
        let line = format!("{}: statement 0.5, book ", day(40));
        assert!(!nights.night(&farthing, 0).await.unwrap().contains(&line), "nobody asked for it");
        farthing.store.reopen_followed(ORG, statement).await.unwrap();
        assert!(nights.night(&farthing, 0).await.unwrap().contains(&line));
        assert!(!nights.night(&farthing, 0).await.unwrap().contains(&line), "it is done");
        assert_eq!(balances(&farthing, ["payable:openrouter"]).await, ["-0.5"]);
    });
}
