//! Feeds arbitrary bytes to the reader that this target is named after: a dialect, `otlp-protobuf`, or a shape of usage blocks.
//! Nothing may panic; what is read must be what can be stored and read back; what is refused must keep no content.

#![no_main]

use farthing::bytes::Writer;
use farthing::catalog::{Catalog, shipped, source::own};
use farthing::flow::intake::{self, Framing};
use farthing::flow::rejected::id_of;
use farthing::id::{NameId, OwnerId, ProductId};
use farthing::rating::rate;
use farthing::store::RejectedBody;
use farthing::time::Instant;
use farthing::usage::dialect::{Context, Dialect, Told, native};
use farthing::usage::record::{Record, write_record};
use farthing::usage::shape::Shape;
use farthing::usage::{MAX_EXTRA, MAX_LABELS, MAX_TEXT, Quantities, Usage, UsageEvent};
use std::sync::LazyLock;

const TARGET: &str = env!("CARGO_BIN_NAME");

static CATALOG: LazyLock<Catalog> = LazyLock::new(|| {
    let parts = shipped::FILES.iter().flat_map(|(_, text)| own::read(text).expect("the shipped catalogs are read"));
    Catalog::build(parts).expect("the shipped catalogs go together")
});

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    match TARGET.strip_prefix("shape-") {
        Some(shape) => read_shape(shape, bytes),
        None => read_dialect(bytes),
    }
});

fn read_shape(name: &str, bytes: &[u8]) {
    let (_, shape) = Shape::ALL.into_iter().find(|(other, _)| *other == name).expect("the target is named after a shape");
    let Ok(json) = std::str::from_utf8(bytes) else { return };
    if let Ok(read) = shape.read(json, "usage") {
        if let Usage::Counted(quantities) = &read.usage {
            check_counts(quantities);
        }
    }
}

fn read_dialect(bytes: &[u8]) {
    let received_at = Instant::parse("2026-11-01T00:00:00Z").expect("an instant");
    let context = Context { received_at, source: None, strict: false };
    let framings: &[Framing] = match TARGET {
        "otlp-protobuf" => &[Framing::Protobuf],
        _ => &[Framing::Json, Framing::Lines],
    };
    let dialect = Dialect::named(TARGET.trim_end_matches("-protobuf")).expect("the target is named after a dialect");
    for framing in framings {
        let Ok(received) = intake::read(bytes, *framing, dialect, &context) else { continue };
        for piece in received {
            match piece.told {
                Ok(Told::Event(event) | Told::Update(event)) => check(&event, &context),
                Ok(Told::Nothing(_)) => {}
                Err(why) => {
                    let kept = RejectedBody::of(dialect, &piece.piece, &why, &context);
                    assert!(kept.field.len() + kept.detail.len() <= 4_096);
                    id_of(&piece.piece);
                    // What is kept of it can be tried again.
                    if let Some(body) = kept.body {
                        let _ = dialect.cut(&body).map(|pieces| pieces.iter().map(|piece| dialect.read(piece, &context).is_ok()).count());
                    }
                }
            }
        }
    }
}

fn check(event: &UsageEvent, context: &Context) {
    for text in [Some(&event.id), Some(&event.source), event.session.as_ref(), event.provider_request_id.as_ref()] {
        assert!(text.is_none_or(|text| !text.is_empty() && text.len() <= MAX_TEXT && !text.contains(char::is_control)));
    }
    assert!(event.labels.len() <= MAX_LABELS && event.labels.is_sorted());
    assert!(event.extra.as_ref().is_none_or(|extra| extra.len() <= MAX_EXTRA));
    if let Some(quantities) = event.quantities() {
        check_counts(quantities);
    }
    let mut bytes = Writer::new();
    write_record(event, NameId(1), ProductId(2), OwnerId(3), &mut bytes);
    let back = Record::read(bytes.as_slice()).expect("what is stored is read back");
    let back = back.into_event(event.id.clone(), event.source.clone(), event.product.clone(), event.owner.clone());
    assert_eq!(&back, event);
    // Shown and sent again it is still an event, and rating it has an answer.
    let shown = native::read(&native::write(event), context);
    assert!(shown.is_ok() || event.usage != Usage::Counted(Quantities::NONE), "{shown:?}");
    let _ = rate(event, &CATALOG);
    assert!(event.updated_by(event).differences(event).is_empty());
}

fn check_counts(quantities: &Quantities) {
    let sum: u128 = quantities.present().map(|(_, count)| u128::from(count)).sum();
    assert!(sum < 1 << 63, "sums of counts must not overflow");
    quantities.prompt_tokens();
}
