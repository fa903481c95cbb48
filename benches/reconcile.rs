//! How long a million lines take against a million calls, and how much memory: `cargo bench --bench reconcile [-- LINES]
//! [guess]`, the latter without a single id in the book. Every seventh line differs in one way or another.

use farthing::id::Sequence;
use farthing::money::Amount;
use farthing::reconcile::compact::Compact;
use farthing::reconcile::compare::{Book, Booked, Class, Tolerance, compare};
use farthing::reconcile::statement::{Flags, Tokens, generations_csv};
use farthing::time::Instant;
use std::fmt::Write;
use std::time::Instant as Moment;

/// A column that no comparison reads, so that a line is as long as a real one.
const REST: &str = "false,true,,completed,tool_calls,12034,1034,An Agent,sample-agent-key,false";

fn main() {
    let asked = std::env::args().skip(1).find_map(|argument| argument.parse().ok());
    let lines: u64 = asked.unwrap_or(1_000_000);
    let with_ids = std::env::args().all(|argument| argument != "guess");

    let text = csv(lines);
    let started = Moment::now();
    let statement = generations_csv::read(&text).expect("it was written here");
    println!("{lines} lines of {} MB read in {:.2?}; peak {} MB", text.len() >> 20, started.elapsed(), peak());
    drop(text);
    println!("now {} MB", resident());

    let started = Moment::now();
    let book = book(lines, with_ids);
    println!("{} calls made in {:.2?}; now {} MB, peak {} MB", book.calls.len(), started.elapsed(), resident(), peak());

    let started = Moment::now();
    let period = statement.days().expect("there are lines");
    let comparison = compare(&book, &statement, period, &Tolerance::default()).expect("it fits");
    println!("compared in {:.2?}; peak {} MB", started.elapsed(), peak());
    println!("guessed {}, matched {}", comparison.guesses.len(), comparison.matched.count);
    for class in Class::ALL {
        println!("{} {}", class.name(), comparison.of(class).count);
    }
}

fn id(number: u64) -> String {
    // Ids come in no order.
    format!("gen-{}-{:020x}", 1_787_000_000 + number / 12, number.wrapping_mul(0x9e37_79b9_7f4a_7c15))
}

fn csv(lines: u64) -> String {
    let mut text = String::from(
        "generation_id,created_at,cost_total,cost_web_search,cost_cache,cost_file_processing,byok_usage_inference,tokens_prompt,tokens_completion,tokens_reasoning,tokens_cached,model_permaslug,provider_name,variant,cancelled,streamed,user,finish_reason_raw,finish_reason_normalized,generation_time_ms,time_to_first_token_ms,app_name,api_key_name,api_key_disabled\n",
    );
    for number in 0..lines {
        let (prompt, cost) = (1_000 + number % 9_000, 100 + number % 50_000 + u64::from(number.is_multiple_of(7)));
        let at = Instant::from_micros((1_787_000_000 + number as i64 / 12) * 1_000_000).to_string();
        let at = at.replace('T', " ").replace('Z', ".000");
        writeln!(
            text,
            "{},{at},0.{cost:06},,-0.000331,,0,{prompt},200,0,500,acme/model-{},Azure,standard,{REST}",
            id(number),
            number % 40
        )
        .expect("a string takes what is written to it");
    }
    text
}

fn book(calls: u64, with_ids: bool) -> Book {
    let mut book = Book { calls: Compact::with_room(calls as usize), ..Book::default() };
    let azure = book.names.name("Azure");
    for number in 0..calls {
        let model = book.names.name(&format!("acme/model-{}", number % 40));
        let amount = Amount::from_units(i128::from(100 + number % 50_000) * 10_i128.pow(18) + 123_456_789);
        // One in a thousand was never sent.
        if number % 1_000 == 1 {
            continue;
        }
        let generation = with_ids.then(|| book.ids.keep(&id(number)));
        book.calls.push(&Booked {
            sequence: Sequence(number as i64),
            generation,
            at: Instant::from_micros((1_787_000_000 + number as i64 / 12) * 1_000_000),
            model: Some(model),
            served_by: Some(azure),
            tier: None,
            requests: 1,
            tokens: Tokens { input: 500 + number % 9_000, cache_read: 500, output: 200, reasoning: 0 },
            amount,
            tools: Amount::ZERO,
            rated: None,
            reported: Some(amount),
            upstream: Amount::ZERO,
            flags: Flags::NONE,
        });
    }
    book
}

fn status(name: &str) -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let line = status.lines().find_map(|line| line.strip_prefix(name)).unwrap_or_default();
    line.split_whitespace().find_map(|word| word.parse::<u64>().ok()).unwrap_or(0) / 1_024
}

fn peak() -> u64 {
    status("VmHWM:")
}

fn resident() -> u64 {
    status("VmRSS:")
}
