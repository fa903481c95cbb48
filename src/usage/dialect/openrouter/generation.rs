//! The record of a generation, as `/generation` answers it. The native token counts are the billed ones; `tokens_prompt` and
//! `tokens_completion` are another tokenizer's estimate and are never read. Cache writes are not in it: they are part of the
//! input here, so what the record says was charged decides, and the difference to the list price shows as drift. `usage` in it
//! is an amount of money.

use crate::money::Currency;
use crate::usage::dialect::labels::Labels;
use crate::usage::dialect::{Context, Dialect, Told, litellm, names, unknown};
use crate::usage::reading::{Object, Rejected};
use crate::usage::shape::Shape;
use crate::usage::{Outcome, Owner, Reported, Text, UNKNOWN, Usage};

pub fn read(mut record: Object<'_>, context: &Context) -> Result<Told, Rejected> {
    let id = record.required_text("id")?;
    let created = record.moment("created_at", context.received_at)?;
    let provider = Text::known("openrouter");
    let served = served(&mut record);
    let model = record.loose("model").or(served.model).and_then(|model| names::model(&model, &provider));
    let mut event = context.event(Dialect::Openrouter, id.clone(), created, provider, model.unwrap_or(Text::known(UNKNOWN)));
    event.source = context.source.clone().unwrap_or(Text::known("openrouter-generation"));
    event.provider_request_id = Some(id);
    event.product.requested_model = record.loose("router");
    event.product.served_by = served.by.or(record.loose("provider_name"));
    event.product.service_tier = served.tier.or(record.loose("service_tier")).filter(litellm::is_a_tier);
    event.product.region = record.loose("data_region").filter(|region| &**region != "global");

    let byok = record.flag("is_byok")?.unwrap_or(false);
    let charged = match record.amount("total_cost")? {
        Some(charged) => Some(charged),
        None => record.amount("usage")?,
    };
    let upstream = record.amount("upstream_inference_cost")?.filter(|_| byok);
    event.reported = charged.map(|(amount, rounded)| Reported {
        amount,
        currency: Currency::USD,
        byok,
        upstream_amount: upstream.map(|(amount, _)| amount),
        rounded: rounded || upstream.is_some_and(|(_, rounded)| rounded),
    });
    event.usage = match counts_of(&mut record)? {
        Usage::Counted(counts) if counts.is_empty() => Usage::Missing,
        // The record is known to be incomplete; what it says was charged is not.
        Usage::Contradictory { .. } if event.reported.is_some() => Usage::Missing,
        usage => usage,
    };
    event.outcome = match record.flag("cancelled").unwrap_or_default() {
        Some(true) => Outcome::Cancelled,
        _ if record.loose("finish_reason").as_deref() == Some("error") => Outcome::Failed,
        _ => Outcome::Succeeded,
    };
    event.session = record.loose("session_id");
    event.owner = Owner {
        user: record.loose("external_user"),
        app: record.loose("app_title").or(record.loose("http_referer")).or(record.loose("origin")),
        ..Owner::default()
    };
    let mut labels = Labels::default();
    for name in ["api_type", "preset_id", "request_id", "workspace_id"] {
        labels.add(name, record.loose(name));
    }
    event.labels = labels.into_sorted();
    event.extra = unknown::fields(&record.rest());
    Ok(Told::event(event))
}

fn counts_of(record: &mut Object<'_>) -> Result<Usage, Rejected> {
    let mut count = |name: &str| Ok::<u64, Rejected>(record.count(name)?.unwrap_or(0));
    let block = format!(
        r#"{{"prompt_tokens":{},"completion_tokens":{},"prompt_tokens_details":{{"cached_tokens":{}}},
            "completion_tokens_details":{{"reasoning_tokens":{},"image_tokens":{}}}}}"#,
        count("native_tokens_prompt")?,
        count("native_tokens_completion")?,
        count("native_tokens_cached")?,
        count("native_tokens_reasoning")?,
        count("native_tokens_completion_images")?,
    );
    Shape::OpenaiChat.read(&block, "usage").map(|read| read.usage)
}

/// The endpoint that answered in the end.
#[derive(Default)]
struct Served {
    by: Option<Text>,
    model: Option<Text>,
    tier: Option<Text>,
}

fn served(record: &mut Object<'_>) -> Served {
    let attempts = record.array("provider_responses").ok().flatten().unwrap_or_default();
    let answered = attempts.into_iter().rev().find_map(|attempt| {
        let mut attempt = Object::parse(attempt.get(), "").ok()?;
        (attempt.count("status").ok().flatten() == Some(200)).then_some(attempt)
    });
    answered.map_or_else(Served::default, |mut attempt| Served {
        by: attempt.loose("provider_name"),
        model: attempt.loose("model_permaslug"),
        tier: attempt.loose("routed_service_tier"),
    })
}
