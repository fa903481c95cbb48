//! `demo`: a month of a company that does not exist, to look at reports with. It is the same month every time: three
//! gateways, four teams, prompts that are cached, a contract that is signed late and corrects what was booked, an agent
//! that runs away for a night, a model that nobody has a price for, and calls whose usage never came.

use super::bench::Random;
use super::{Failure, Outcome, copy_what_was_booked, open};
use crate::catalog::source::own;
use crate::config::Settings;
use crate::flow::now;
use crate::flow::publish::{Note, Wish};
use crate::flow::{Farthing, rerate};
use crate::id::Org;
use crate::store::without_password;
use crate::time::Instant;
use crate::usage::dialect::{Context, native};
use clap::Args;
use serde_json::{Value, json};

#[derive(Args)]
pub struct Demo {}

/// The first of October 2026, in seconds since 1970.
const OCTOBER: u64 = 1_790_812_800;
const DAY: u64 = 86_400;
/// On this day of October the contract is signed; it holds from the sixteenth.
const SIGNED: u64 = 20;
const CONTRACT: &str = r#"provider: anthropic
overrides:
  - kind: contract
    model: claude-sonnet-4-5
    from: 2026-10-16
    note: ten percent off
    input_per_1m: "2.70"
    cache_read_per_1m: "0.27"
    cache_write_per_1m: "3.375"
    output_per_1m: "13.50"
"#;

impl Demo {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let (farthing, org) = open(settings).await?;
        if farthing.store.head(org).await?.next_record > 1 {
            let place = without_password(&settings.store.url);
            let why = format!("{place} has events already; name an empty database, such as --database sqlite://demo.db");
            return Err(Failure::Refused(why));
        }
        let month = month();
        let signed = month.partition_point(|(at, _)| *at < OCTOBER + (SIGNED - 1) * DAY);
        commit(&farthing, org, &month[..signed]).await?;
        let parts = own::read(CONTRACT).map_err(|e| Failure::Refused(format!("{e:?}")))?;
        let note = Note { author: "demo".to_owned(), note: "the contract with Anthropic".to_owned() };
        farthing.publish(org, &Wish { parts, accept: true, note, ..Wish::default() }).await?;
        let reason = "the contract of 16 October".to_owned();
        let corrected = farthing.rerate(org, &rerate::Wish { reason, ..rerate::Wish::default() }, |_| {}).await?;
        commit(&farthing, org, &month[signed..]).await?;
        copy_what_was_booked(&farthing, org).await;
        farthing.store.close().await;

        let database = without_password(&settings.store.url);
        println!(
            "{} events of October 2026 are in {database}, {} of them corrected by a late contract",
            month.len(),
            corrected.changed
        );
        println!("\nLook at it:\n");
        for report in [
            "report users-models --range 2026-10 --top 8",
            "report spend --by day,team --range 2026-10",
            "report spend --by agent --range 2026-10 --compare",
            "report corrections",
            "held list",
            "serve",
        ] {
            println!("  farthing --database {database} {report}");
        }
        Ok(())
    }
}

async fn commit(farthing: &Farthing, org: Org, events: &[(u64, Value)]) -> Outcome {
    let in_force = farthing.in_force(org).await?;
    let context = Context { received_at: now(), source: None, strict: true };
    for group in events.chunks(500) {
        let mut prepared = Vec::with_capacity(group.len());
        for (_, event) in group {
            let event = native::read(&event.to_string(), &context).map_err(|e| Failure::Refused(e.to_string()))?;
            prepared.push(farthing.prepare(org, &in_force, event));
        }
        farthing.commit_events(&prepared, || false).await.map_err(|e| Failure::Io(format!("{e:?}")))?;
    }
    Ok(())
}

/// A kind of work that somebody does every day.
struct Work {
    source: &'static str,
    provider: &'static str,
    model: &'static str,
    team: &'static str,
    users: &'static [&'static str],
    app: &'static str,
    feature: Option<&'static str>,
    /// Calls on a working day; a fifth of them on others.
    calls: u64,
    /// The hours in which it is done.
    hours: (u64, u64),
    /// The least and the most.
    input: (u64, u64),
    cached: (u64, u64),
    output: (u64, u64),
}

const WORK: [Work; 5] = [
    Work {
        source: "litellm-eu",
        provider: "openai",
        model: "gpt-5-mini",
        team: "search",
        users: &["ann", "bo", "chen"],
        app: "answers",
        feature: Some("answers"),
        calls: 260,
        hours: (6, 22),
        input: (1_500, 6_000),
        cached: (0, 9_000),
        output: (200, 700),
    },
    Work {
        source: "litellm-eu",
        provider: "anthropic",
        model: "claude-sonnet-4-5",
        team: "support",
        users: &["dara", "eli", "fay"],
        app: "helpdesk",
        feature: Some("replies"),
        calls: 120,
        hours: (7, 19),
        input: (800, 4_000),
        cached: (4_000, 14_000),
        output: (250, 900),
    },
    Work {
        source: "oceans-prod",
        provider: "openrouter",
        model: "anthropic/claude-sonnet-4.5",
        team: "platform",
        users: &["gus", "hana", "ivo", "ann"],
        app: "ide",
        feature: None,
        calls: 140,
        hours: (8, 20),
        input: (2_000, 12_000),
        cached: (10_000, 60_000),
        output: (300, 2_500),
    },
    Work {
        source: "nightly",
        provider: "google",
        model: "gemini-2.5-flash",
        team: "research",
        users: &["jo"],
        app: "digests",
        feature: Some("digests"),
        calls: 45,
        hours: (2, 4),
        input: (20_000, 60_000),
        cached: (0, 0),
        output: (1_000, 3_000),
    },
    Work {
        source: "litellm-eu",
        provider: "openai",
        model: "gpt-5",
        team: "research",
        users: &["jo", "kim"],
        app: "notebook",
        feature: None,
        calls: 18,
        hours: (9, 18),
        input: (2_000, 9_000),
        cached: (0, 4_000),
        output: (500, 4_000),
    },
];

/// All events, by when they occurred.
fn month() -> Vec<(u64, Value)> {
    let mut random = Random::new(2026);
    let mut events: Vec<(u64, Value)> = Vec::new();
    for day in 0..31 {
        // The first of October 2026 is a Thursday.
        let works = !matches!((day + 3) % 7, 5 | 6);
        for work in &WORK {
            let calls = if works { work.calls - random.below(work.calls / 4) } else { work.calls / 5 };
            events.extend((0..calls).map(|_| call(work, day, &mut random)));
        }
        // From the 27th on somebody tries a model that no list has.
        if day >= 26 {
            for _ in 0..6 {
                let at = OCTOBER + day * DAY + 10 * 3_600 + random.below(8 * 3_600);
                events.push((
                    at,
                    json!({"source": "litellm-eu", "provider": "acme-labs", "model": "forge-1", "team": "platform", "user": "ivo",
                    "usage": {"input": 3_000 + random.below(5_000), "output": 400 + random.below(900)}}),
                ));
            }
        }
    }
    // On the night of the 22nd an agent asks itself again and again, and each time it takes along all that it said.
    for turn in 0..620_u64 {
        let at = OCTOBER + 21 * DAY + 19 * 3_600 + turn * 95;
        events.push((at, json!({"source": "litellm-eu", "provider": "openai", "model": "gpt-5", "team": "research", "user": "kim",
            "app": "notebook", "agent": "crawler", "session": "crawl-7",
            "usage": {"input": 1_200 + turn * 90, "cache_read": turn * 160, "output": 300 + random.below(500), "reasoning": 200 + random.below(900)}})));
    }
    events.sort_by_key(|(at, _)| *at);
    for (number, (at, event)) in events.iter_mut().enumerate() {
        event["id"] = json!(format!("demo-{number:05}"));
        event["occurred_at"] = json!(Instant::from_micros(*at as i64 * 1_000_000).to_string());
    }
    events
}

fn call(work: &Work, day: u64, random: &mut Random) -> (u64, Value) {
    let between = |random: &mut Random, (least, most): (u64, u64)| least + random.below(most - least + 1);
    let at = OCTOBER + day * DAY + between(random, (work.hours.0 * 3_600, work.hours.1 * 3_600));
    let user = work.users[random.below(work.users.len() as u64) as usize];
    let (input, output) = (between(random, work.input), between(random, work.output));
    // Two of three calls find their prompt in the cache.
    let cached = if random.below(3) > 0 { between(random, work.cached) } else { 0 };
    let mut event = json!({"source": work.source, "provider": work.provider, "model": work.model, "team": work.team, "user": user,
                           "app": work.app, "usage": {"input": input, "cache_read": cached, "output": output}});
    if let Some(feature) = work.feature {
        event["labels"] = json!({"feature": feature});
    }
    match random.below(100) {
        // A stream that was broken off, whose gateway never said what it had used.
        0 => {
            event["outcome"] = json!("cancelled");
            event.as_object_mut().map(|fields| fields.remove("usage"));
        }
        1..=4 if work.app == "answers" => event["outcome"] = json!("cache_hit"),
        _ if work.provider == "openrouter" => {
            // OpenRouter says what it charged; one upstream in eight is a little dearer than the list.
            let dearer = if random.below(8) == 0 { 11 } else { 10 };
            let tenths_of_nanos = (input * 3_000 + cached * 300 + output * 15_000) * dearer;
            let amount = format!("{}.{:010}", tenths_of_nanos / 10_000_000_000, tenths_of_nanos % 10_000_000_000);
            event["reported"] = json!({"by": "provider", "amount": amount, "currency": "USD"});
        }
        _ => {}
    }
    (at, event)
}
