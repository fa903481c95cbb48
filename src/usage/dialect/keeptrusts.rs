//! Keeptrusts' spend posts, bare or in the envelope of its durable queue, and the events of its export. The envelope's
//! `payload_sha256` covers the payload's exact bytes and is checked. What the provider itself charged is told from what the
//! gateway computed only by the pricing source `upstream`. Whether `prompt_tokens` includes the cached ones depends on whose API
//! was spoken: OpenAI's includes them, Anthropic's does not, and the gateway passes the number on as it came.

use super::labels::Labels;
use super::{Context, Dialect, Told, names, unknown};
use crate::money::Currency;
use crate::usage::reading::{self, Object, Problem, Rejected};
use crate::usage::shape::contradiction;
use crate::usage::{Claimed, Meter, Outcome, Owner, Quantities, Reported, Text, Usage};
use sha2::{Digest, Sha256};

const DIALECT: Dialect = Dialect::Keeptrusts;

pub fn read(json: &str, context: &Context) -> Result<Told, Rejected> {
    let mut envelope = Object::parse(json, "")?;
    match envelope.loose("event_kind").as_deref() {
        None | Some("spend") => {}
        // Both kinds of one call have the same counts and no id in common: charging both would charge twice.
        Some("ai_usage") => return Ok(Told::Nothing("the spend event of the same call says what it cost")),
        Some(_) => return Ok(Told::Nothing("not about what a call cost")),
    }
    let payload = envelope.take("payload");
    if let (Some(said), Some(payload)) = (envelope.text("payload_sha256")?, payload) {
        check(&said, payload.get())?;
    }
    let mut outer = match payload {
        Some(payload) => std::mem::replace(&mut envelope, Object::parse(payload.get(), "payload")?),
        None => Object::parse("{}", "")?,
    };
    let mut body = envelope;
    let mut metadata = body.inner("metadata");
    let mut of_metadata = |name: &str| metadata.as_mut().and_then(|metadata| metadata.loose(name));

    let requests = [outer.text("request_id")?, body.text("request_id")?, of_metadata("request_id")];
    // The last is the header `Idempotency-Key`, which the route writes into the body.
    let ids = [
        outer.text("event_id")?,
        body.text("event_id")?,
        body.text("id")?,
        outer.text("idempotency_key")?,
        body.text("idempotency_key")?,
    ];
    let id = match (ids.into_iter().flatten().next(), requests.into_iter().flatten().next()) {
        (Some(id), _) => id,
        (None, Some(request)) => reading::text("request_id", &format!("spend:{request}"))?,
        (None, None) => return Err(Rejected::new("event_id", Problem::Missing)),
    };
    let name = ["created_at", "timestamp"].into_iter().find(|name| body.has(name)).unwrap_or("created_at");
    let occurred_at = match body.moment(name, context.received_at)? {
        Some(at) => Some(at),
        None => outer.moment("created_at", context.received_at)?,
    };
    let target = Target::of(body.text("provider")?, body.text("model")?)?;
    let mut event = context.event(DIALECT, id, occurred_at, target.provider.clone(), target.model.clone());
    event.product.requested_model = body.loose("requested_model").filter(|asked| *asked != event.product.model);
    event.provider_request_id = of_metadata("provider_request_id");

    let decision = body.loose("decision").or(of_metadata("decision"));
    let from_cache =
        body.flag("cache_hit").ok().flatten().unwrap_or_default() || of_metadata("cache_hit").as_deref() == Some("true");
    let counted = read_counts(&mut body, target.prompt_is_uncached(), json)?;
    let usage_source = of_metadata("usage_source");
    event.estimated = matches!(usage_source.as_deref(), Some("streaming_estimate" | "prompt_only_fallback"))
        || of_metadata("usage_estimated").as_deref() == Some("true");

    let catalog_source = body.loose("catalog_pricing_source");
    let pricing_source = body.loose("pricing_source").or(catalog_source);
    if pricing_source.as_deref() == Some("upstream") {
        event.reported = read_cost(&mut body)?;
    } else {
        // A claim is a remark: one that cannot be read costs no event.
        let cost = read_cost(&mut body).ok().flatten();
        event.claimed = cost.map(|cost| Claimed { amount: cost.amount, currency: cost.currency });
    }

    // A policy on answers stops what the model has said already, and that is billed.
    let was_answered = match &counted {
        Usage::Counted(counts) => counts.has_output(),
        Usage::Contradictory { .. } | Usage::Missing => true,
    };
    let was_charged = event.reported.as_ref().is_some_and(|reported| !reported.amount.is_zero());
    event.outcome = match decision.as_deref() {
        Some("block" | "blocked") if !was_answered && !was_charged => Outcome::Blocked,
        _ if from_cache => Outcome::CacheHit,
        _ => Outcome::Succeeded,
    };
    event.usage = match counted {
        Usage::Counted(counts) if counts.is_empty() && !event.outcome.is_free() => Usage::Missing,
        usage => usage,
    };

    let mut labels = Labels::default();
    let conversation = body.loose("conversation_id");
    labels.add("pricing_source", pricing_source);
    labels.add("usage_source", usage_source);
    labels.add("decision", decision);
    labels.add("conversation_id", conversation.as_deref());
    labels.add("region", body.loose("region_key").or(of_metadata("region_key")));
    labels.add("org", outer.loose("org_id").or(body.loose("org_id")));
    for name in ["provider_target_id", "usage_category", "execution_surface", "gateway_id", "requested_provider"] {
        labels.add(name, body.loose(name));
    }
    event.labels = labels.into_sorted();
    event.owner = Owner {
        user: body.loose("user_id").or(body.loose("user")),
        team: body.loose("team_id").or(outer.loose("team_id")),
        key: body.loose("key_id"),
        agent: body.loose("agent_id"),
        ..Owner::default()
    };
    event.session = body.loose("gateway_execution_session_id").or(conversation);
    event.extra = unknown::fields(&body.rest());
    Ok(Told::event(event))
}

/// Checks the payload, as it was sent, against the hash that was sent with it.
fn check(said: &str, payload: &str) -> Result<(), Rejected> {
    let found: String = Sha256::digest(payload.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect();
    if said.trim_start_matches("sha256:").eq_ignore_ascii_case(&found) {
        return Ok(());
    }
    let why = format!("the payload's bytes have the hash {found}; something changed them on their way");
    Err(Rejected::new("payload_sha256", Problem::Contradiction(why)))
}

fn read_cost(body: &mut Object<'_>) -> Result<Option<Reported>, Rejected> {
    let name = if body.has("total_cost") { "total_cost" } else { "cost" };
    let Some((amount, rounded)) = body.amount(name)? else { return Ok(None) };
    let currency = match body.text("currency")? {
        Some(code) => code.to_ascii_uppercase().parse().map_err(|e| body.wrong("currency", Problem::Money(e)))?,
        None => Currency::USD,
    };
    Ok(Some(Reported { amount, currency, byok: false, upstream_amount: None, rounded }))
}

/// What was called: `openrouter:chat:openai/gpt-4o` in one field, or provider and model in two.
struct Target {
    provider: Text,
    operation: Option<String>,
    model: Text,
}

const OPERATIONS: [&str; 5] = ["chat", "completions", "embeddings", "messages", "responses"];

impl Target {
    fn of(provider: Option<Text>, model: Option<Text>) -> Result<Target, Rejected> {
        let whole = [&provider, &model].into_iter().flatten().find_map(|written| Target::apart(written));
        let (front, operation, rest) = whole.unwrap_or_default();
        let provider = match provider.as_deref().filter(|provider| !provider.contains(':')).unwrap_or(front) {
            "" => return Err(Rejected::new("provider", Problem::Missing)),
            name => names::begins(name).or_else(|| Text::new(name)),
        };
        let model = match model.as_deref().filter(|model| Target::apart(model).is_none()).unwrap_or(rest) {
            "" => return Err(Rejected::new("model", Problem::Missing)),
            name => name,
        };
        let provider = provider.ok_or_else(|| Rejected::new("provider", Problem::Empty))?;
        let model = names::model(model, &provider).ok_or_else(|| Rejected::new("model", Problem::Empty))?;
        Ok(Target { provider, operation: operation.map(str::to_owned), model })
    }

    /// Provider, operation and model of one text. What stands before the first colon of `openai/gpt-4o:free` or `llama3:8b` is
    /// no provider, and those stay whole.
    fn apart(written: &str) -> Option<(&str, Option<&str>, &str)> {
        let (front, rest) = written.split_once(':')?;
        let (operation, model) = rest.split_once(':').unwrap_or((rest, ""));
        if OPERATIONS.contains(&operation) {
            return Some((front, Some(operation), model));
        }
        names::exact(front).map(|_| (front, None, rest))
    }

    /// Whether `prompt_tokens` is without the cached ones. The API decides, not the model: Anthropic's own API, Claude on Bedrock
    /// or Vertex, and whatever is called through `messages` count the cache beside the prompt; Claude through OpenRouter's
    /// chat API counts it inside, as everybody else does.
    fn prompt_is_uncached(&self) -> bool {
        let is_claude = || self.model.contains("claude");
        match &*self.provider {
            _ if self.operation.as_deref() == Some("messages") => true,
            "anthropic" => true,
            "bedrock" | "vertex" => is_claude(),
            _ => false,
        }
    }
}

/// Prompt, cached and completion as disjoint counts. The gateway's total leaves the cache out of its sum where it stands beside
/// the prompt; a total that is neither sum, or more cached than there was, is a contradiction.
fn read_counts(body: &mut Object<'_>, prompt_is_uncached: bool, json: &str) -> Result<Usage, Rejected> {
    let mut either = |one: &str, other: &str| match body.count(one)? {
        Some(count) => Ok(count),
        None => body.count(other).map(Option::unwrap_or_default),
    };
    let prompt = either("prompt_tokens", "input_tokens")?;
    let completion = either("completion_tokens", "output_tokens")?;
    let cached = body.count("cached_input_tokens")?.unwrap_or(0);
    // A total of nothing is one that nobody counted.
    let total = body.count("total_tokens")?.filter(|total| *total > 0);
    let sum = prompt + completion;
    let beside = if prompt_is_uncached { cached } else { 0 };
    if let Some(total) = total.filter(|total| *total != sum && *total != sum + beside) {
        let detail = format!("total_tokens is {total}, but the counts add up to {sum}");
        return Ok(contradiction(detail, json));
    }
    let input = if prompt_is_uncached { Some(prompt) } else { prompt.checked_sub(cached) };
    let Some(input) = input else {
        let detail = format!("cached_input_tokens {cached} do not fit into prompt_tokens {prompt}");
        return Ok(contradiction(detail, json));
    };
    let counts = [(Meter::Input, input), (Meter::CacheRead, cached), (Meter::Output, completion)];
    Ok(Usage::Counted(Quantities::of(&counts)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;
    use crate::usage::UsageEvent;

    fn told(json: &str) -> Result<Told, Rejected> {
        let received_at = Instant::parse("2026-09-03T12:00:00Z").unwrap();
        read(json, &Context { received_at, source: None, strict: false })
    }

    fn event(json: &str) -> UsageEvent {
        told(json).unwrap().into_event().unwrap()
    }

    const SPEND: &str = r#"{"provider":"openrouter","model":"openai/gpt-4o","requested_model":"gpt","provider_target_id":"openrouter-gpt4o","prompt_tokens":800,"completion_tokens":120,"total_tokens":920,"cached_input_tokens":300,"total_cost":0.0032,"currency":"USD","key_id":"k1","user_id":"u7","agent_id":"a1","pricing_source":"upstream","usage_category":"gateway_llm","conversation_id":"c1","metadata":{"request_id":"rq-88","usage_source":"provider_reported","cache_hit":false}}"#;

    fn spend(changes: &[(&str, &str)]) -> UsageEvent {
        event(&changes.iter().fold(SPEND.to_owned(), |json, (from, to)| json.replace(from, to)))
    }

    fn envelope(payload: &str, sha256: &str) -> String {
        format!(
            r#"{{"delivery_id":"d-31","event_id":"ev-1","event_kind":"spend","org_id":"o1","team_id":"t4","request_id":"rq-88",
            "created_at":"2026-09-02T12:00:00Z","payload_sha256":"{sha256}","payload":{payload}}}"#
        )
    }

    #[test]
    fn a_bare_post_is_named_by_its_request() {
        let event = spend(&[]);
        assert_eq!((&*event.id, event.occurred_at_assumed), ("spend:rq-88", true));
        let counts = [(Meter::Input, 500), (Meter::CacheRead, 300), (Meter::Output, 120)];
        assert_eq!(event.usage, Usage::Counted(Quantities::of(&counts)));
        assert_eq!((event.reported.unwrap().amount.to_string(), event.claimed), ("0.0032".to_owned(), None));
        let owner = event.owner;
        assert_eq!([owner.user, owner.key, owner.agent].map(|name| name.unwrap().to_string()), ["u7", "k1", "a1"]);
        let labels: Vec<_> = event.labels.iter().map(|(key, value)| format!("{key}={value}")).collect();
        let expected = [
            "conversation_id=c1",
            "pricing_source=upstream",
            "provider_target_id=openrouter-gpt4o",
            "usage_category=gateway_llm",
            "usage_source=provider_reported",
        ];
        assert_eq!(labels, expected);
        assert_eq!(told(&SPEND.replace("\"request_id\"", "\"r\"")).unwrap_err().to_string(), "event_id: missing");
    }

    #[test]
    fn an_envelope_is_checked_and_fills_in() {
        // printf %s '{"provider":"openai","model":"gpt-4o","prompt_tokens":10,"completion_tokens":2}' | sha256sum
        let payload = r#"{"provider":"openai","model":"gpt-4o","prompt_tokens":10,"completion_tokens":2}"#;
        let sha256 = "05f3c421775c186722a5e5c68ed5ad340f130b75ab25ddf9029020b65ccf31f5";
        let event = event(&envelope(payload, sha256));
        assert_eq!((&*event.id, event.occurred_at.to_string().as_str()), ("ev-1", "2026-09-02T12:00:00Z"));
        assert_eq!(event.owner.team.as_deref(), Some("t4"));
        assert!(told(&envelope(payload, &sha256.to_uppercase())).is_ok());
        let changed = told(&envelope(&payload.replace("10", "11"), sha256)).unwrap_err();
        assert_eq!(changed.field, "payload_sha256");
    }

    #[test]
    fn only_spend_is_charged() {
        for kind in ["decision", "trail", "ua_complete", "ai_usage"] {
            let other = envelope(SPEND, "").replace("\"event_kind\":\"spend\"", &format!("\"event_kind\":\"{kind}\""));
            assert!(matches!(told(&other), Ok(Told::Nothing(_))), "{kind}");
        }
    }

    #[test]
    fn what_the_gateway_computed_is_a_claim() {
        for source in ["catalog", "config_declared", "default_fallback"] {
            let event = spend(&[("upstream", source)]);
            assert_eq!((event.claimed.unwrap().amount.to_string().as_str(), event.reported), ("0.0032", None));
        }
        let unreadable = spend(&[("upstream", "catalog"), ("\"total_cost\":0.0032", "\"total_cost\":-1")]);
        assert_eq!((unreadable.claimed, unreadable.reported), (None, None));
        let upstream = told(&SPEND.replace("0.0032", "-1")).unwrap_err();
        assert_eq!(upstream.to_string(), "total_cost: -1 is negative; it cannot be");
        assert_eq!(spend(&[("USD", "usd")]).reported.unwrap().currency, Currency::USD);
        let by_catalog = spend(&[("\"pricing_source\"", "\"catalog_pricing_source\"")]);
        assert!(by_catalog.reported.is_some());
    }

    #[test]
    fn whose_api_was_spoken_decides_whether_the_prompt_has_the_cache_in_it() {
        // 300 cached tokens: inside OpenAI's 800, beside Anthropic's 500. The same call, and so the same counts.
        let counts = Usage::Counted(Quantities::of(&[(Meter::Input, 500), (Meter::CacheRead, 300), (Meter::Output, 120)]));
        assert_eq!(spend(&[]).usage, counts);
        let beside = |provider: &str, model: &str, total: &str| {
            let provider = format!("\"provider\":\"{provider}\"");
            spend(&[("\"provider\":\"openrouter\"", &provider), ("openai/gpt-4o", model), (":800", ":500"), ("920", total)]).usage
        };
        assert_eq!(beside("anthropic", "claude-sonnet-4-5", "620"), counts);
        assert_eq!(beside("anthropic", "claude-sonnet-4-5", "920"), counts);
        assert_eq!(beside("bedrock", "anthropic.claude-sonnet-4-5", "620"), counts);
        assert_eq!(beside("openrouter:messages:anthropic/claude-sonnet-4", "", "620"), counts);
        assert_eq!(spend(&[("openai/gpt-4o", "anthropic/claude-sonnet-4")]).usage, counts);
        assert!(matches!(beside("anthropic", "claude-sonnet-4-5", "700"), Usage::Contradictory { .. }));
        assert!(matches!(beside("openrouter", "anthropic/claude-sonnet-4", "920"), Usage::Contradictory { .. }));
        assert!(matches!(spend(&[(":300", ":900")]).usage, Usage::Contradictory { .. }));
    }

    #[test]
    fn one_field_may_name_provider_operation_and_model() {
        for (provider, model, expected) in [
            ("openrouter:chat:openai/gpt-4o", "", "openrouter openai/gpt-4o"),
            ("openrouter", "openrouter:chat:openai/gpt-4o", "openrouter openai/gpt-4o"),
            ("openrouter:chat", "openai/gpt-4o:free", "openrouter openai/gpt-4o:free"),
            ("openrouter", "openrouter:openai/gpt-4o", "openrouter openai/gpt-4o"),
            ("ollama", "llama3:8b", "ollama llama3:8b"),
            ("hub:responses:vendor/m", "", "hub vendor/m"),
        ] {
            let target = Target::of(Text::new(provider), Text::new(model)).unwrap();
            assert_eq!(format!("{} {}", target.provider, target.model), expected);
        }
    }

    #[test]
    fn a_cache_hit_and_a_block_cost_nothing_and_an_estimate_says_so() {
        assert_eq!(spend(&[("\"cache_hit\":false", "\"cache_hit\":true")]).outcome, Outcome::CacheHit);
        let blocked = r#"{"id":"e1","timestamp":"2026-09-02T12:00:00Z","user":"u7","provider":"openai","model":"gpt-4o",
            "decision":"block","input_tokens":40,"output_tokens":0,"cost":"0"}"#;
        let blocked = event(blocked);
        assert_eq!((&*blocked.id, blocked.outcome, blocked.owner.user.as_deref()), ("e1", Outcome::Blocked, Some("u7")));
        assert!(!spend(&[]).estimated);
        let stopped = spend(&[("\"usage_category\"", "\"decision\":\"block\",\"usage_category\"")]);
        assert_eq!(stopped.outcome, Outcome::Succeeded, "the answer was stopped, and is billed");
        for source in ["streaming_estimate", "prompt_only_fallback"] {
            assert!(spend(&[("provider_reported", source)]).estimated);
        }
        assert!(spend(&[("\"cache_hit\":false", "\"usage_estimated\":true")]).estimated);
        let named = spend(&[("\"cache_hit\":false", "\"provider_request_id\":\"gen-1\"")]);
        assert_eq!(named.provider_request_id.as_deref(), Some("gen-1"));
    }
}
