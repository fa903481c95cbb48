//! A real export, of 33 generations of two models, where it is at hand: what the list prices to the last printed digit, and by how
//! much and why the rest differs. What each row should cost is worked out here in whole numbers from rates that are written
//! down beside it, and not by what is tested.

use super::*;
use std::path::Path;

/// Dollars for a billion tokens: what is not read from a cache, what is, and what is written.
const LUNA: [i64; 3] = [200, 20, 1_200];
const FLASH: [i64; 3] = [80, 16, 180];

struct Row<'r> {
    cells: Vec<&'r str>,
}

impl Row<'_> {
    fn count(&self, column: usize) -> i64 {
        self.cells[column].parse().unwrap()
    }

    /// In billionths of a dollar.
    fn at_list(&self) -> i64 {
        let [input, cached, output] = if self.cells[11].starts_with("openai/") { LUNA } else { FLASH };
        let (prompt, completion, read) = (self.count(7), self.count(8), self.count(10));
        (prompt - read) * input + read * cached + completion * output
    }

    /// What was billed, in billionths of a dollar: printed with six decimals.
    fn billed(&self) -> i64 {
        let (dollars, decimals) = self.cells[2].split_once('.').unwrap();
        format!("{dollars}{decimals:0<9}").parse().unwrap()
    }

    fn event(&self) -> Value {
        let (prompt, completion, thought, read) = (self.count(7), self.count(8), self.count(9), self.count(10));
        let usage = json!({"input": prompt - read, "cache_read": read, "output": completion - thought, "reasoning": thought});
        let at = format!("{}Z", self.cells[1].replace(' ', "T"));
        json!({"id": self.cells[0], "source": "gw", "occurred_at": at, "provider": "openrouter", "model": self.cells[11],
            "provider_request_id": self.cells[0], "usage": usage, "key": self.cells[22]})
    }
}

#[test]
fn a_real_export_is_priced_as_far_as_it_tells_and_the_rest_is_named() {
    let file = Path::new(env!("CARGO_MANIFEST_DIR")).join("../shared/data/openrouter_activity_2026-08-24.sample.csv");
    let Ok(text) = std::fs::read_to_string(file) else {
        eprintln!("the real export of 2026-08-24 is not on this machine; it was not compared");
        return;
    };
    let rows: Vec<Row<'_>> = text.lines().skip(1).map(|line| Row { cells: line.split(',').collect() }).collect();
    assert_eq!(rows.len(), 33);
    both(async |database| {
        let farthing = open(database).await;
        publish(
            &farthing,
            "provider: openrouter\nabsent: included\nmodels:\n  - model: openai/gpt-5.6-luna\n    aliases: [openai/gpt-5.6-luna-20260709]\n    cards: [{input_per_1m: \"0.2\", cache_read_per_1m: \"0.02\", cache_write_per_1m: \"0.25\", output_per_1m: \"1.2\"}]\n  - model: deepseek/deepseek-v4-flash-0731\n    aliases: [deepseek/deepseek-v4-flash-20260731]\n    cards: [{input_per_1m: \"0.08\", cache_read_per_1m: \"0.016\", output_per_1m: \"0.18\"}]\n",
        )
        .await;
        for row in &rows {
            send(&farthing, &row.event()).await;
        }
        let run = compare(&farthing, import(&farthing, &text).await).await;
        let comparison = &run.comparison;
        let dollars = |billionths: i64| Amount::from_units(i128::from(billionths) * 10_i128.pow(15));
        assert_eq!(run.statement.lines.len(), 33);
        assert_eq!(comparison.statement_total, dollars(rows.iter().map(Row::billed).sum()));
        assert_eq!(comparison.book_total, dollars(rows.iter().map(Row::at_list).sum()));

        // What the list prices costs as much as was printed before the seventh decimal.
        let (priced, others): (Vec<&Row<'_>>, Vec<&Row<'_>>) =
            rows.iter().partition(|row| row.at_list() / 1_000 * 1_000 == row.billed());
        let exact = priced.iter().filter(|row| row.at_list() == row.billed()).count() as u64;
        assert_eq!((comparison.matched.count, comparison.of(Class::Truncated).count), (exact, priced.len() as u64 - exact));
        assert_eq!(priced.len(), 3, "to the last digit");

        // An export has no column for cache writes, for which luna charges a quarter more than for other input; Relace is cheaper
        // than what the list says of flash. Both are other prices for the same counts, and nothing else is left.
        let mut expected: Vec<String> =
            others.iter().map(|row| format!("price {} {}", dollars(row.billed() - row.at_list()), row.cells[0])).collect();
        expected.sort();
        assert_eq!(findings(&run), expected);
        for row in others {
            let more = row.billed() - row.at_list();
            match row.cells[12] {
                "Azure" => assert!(more > 0, "{} {more}", row.cells[0]),
                provider => assert!(provider == "Relace" && more < 0, "{} {more}", row.cells[0]),
            }
        }
        whole(&farthing).await;
    });
}
