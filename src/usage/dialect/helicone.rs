//! Helicone's custom log: a request and the provider's response to it, each with what was said, and when. The provider is told
//! by the address, the usage is the provider's own block inside the response, whole or in the events of a stream. An event is
//! named by `Helicone-Request-Id`, else by the response's id. Where there is neither, its id is `log-` and the first 24
//! hexadecimal digits of BLAKE3 over the address, the timing as it was sent, the usage with its fields sorted, and the
//! BLAKE3 of the answer as it was sent, a line feed between them: the same log again has the same id, and another answer at
//! the same moment has another one.

use super::labels::{self, Labels};
use super::{Context, Dialect, Told, hosts, makers, names, status, unknown};
use crate::time::Instant;
use crate::usage::reading::{Object, Problem, Rejected, kind, string};
use crate::usage::shape::{Read, Shape};
use crate::usage::{Outcome, Owner, Text, UNKNOWN, Usage};
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::collections::BTreeMap;

const DIALECT: Dialect = Dialect::Helicone;

pub fn read(json: &str, context: &Context) -> Result<Told, Rejected> {
    let mut log = Object::parse(json, "")?;
    let mut request =
        log.object("providerRequest", "providerRequest")?.ok_or_else(|| log.wrong("providerRequest", Problem::Missing))?;
    let mut response =
        log.object("providerResponse", "providerResponse")?.ok_or_else(|| log.wrong("providerResponse", Problem::Missing))?;
    let url = request.loose("url");
    let url = url.as_deref().unwrap_or_default();
    let timing = log.take("timing").map_or("", RawValue::get);
    let started = started(timing, context.received_at)?;
    let outcome = outcome_of(&mut response);

    let text = response.take("textBody").and_then(string).unwrap_or_default();
    // Helicone's logger writes an empty object where the answer is a text.
    let json = response.take("json").map(RawValue::get).filter(|json| !is_bare(json));
    let body = json.unwrap_or(&text);
    let answer = Answer::of(body);
    let mut asked = request.inner("json");
    let requested = asked.as_mut().and_then(|asked| asked.loose("model"));
    let requested = requested.or_else(|| model_in(url).and_then(labels::loose));

    let mut meta = Meta(request.inner("meta").map(Object::rest).unwrap_or_default());
    let call = answer.id.as_deref().and_then(labels::loose);
    let id = meta.take("helicone-request-id").or_else(|| call.clone()).unwrap_or_else(|| {
        let usage = answer.block().unwrap_or_default();
        let body = blake3::hash(body.as_bytes()).to_hex();
        let hash = blake3::hash(format!("{url}\n{timing}\n{usage}\n{body}").as_bytes()).to_hex();
        Text::new(format!("log-{}", &hash[..24])).expect("digits are printable and few")
    });
    let said = || meta.take("helicone-provider").and_then(|name| names::provider(&name));
    let seller = hosts::seller(url).map(Text::known).or_else(said);
    let mut labels = Labels::default();
    // Helicone's own logger writes no address at all.
    let provider = makers::or_maker(seller, answer.model.as_deref().or(requested.as_deref()), &mut labels);
    let named = |model: Option<&str>| model.and_then(|model| names::model(model, &provider));
    let requested = named(requested.as_deref());
    let model = named(answer.model.as_deref()).or_else(|| requested.clone()).unwrap_or(Text::known(UNKNOWN));

    let read = match answer.read_usage(&provider) {
        // Nobody pays for it, so nothing depends on its counts.
        Err(_) if outcome == Outcome::CacheHit => Answer::default().read_usage(&provider)?,
        read => read?,
    };
    let mut event = context.event(DIALECT, id, started, provider, model);
    event.product.requested_model = requested.filter(|requested| *requested != event.product.model);
    event.product.service_tier =
        answer.service_tier.as_deref().and_then(labels::loose).or(read.service_tier).filter(super::litellm::is_a_tier);
    event.product.variant = read.variant;
    event.product.region = read.region;
    event.product.served_by = answer.served_by.as_deref().and_then(labels::loose);
    event.outcome = outcome;
    event.usage = read.usage;
    if outcome != Outcome::CacheHit {
        super::otlp::settle(&mut event);
    }
    event.reported = read.reported;
    event.provider_request_id = call.filter(|_| outcome != Outcome::CacheHit);
    event.session = meta.take("helicone-session-id");
    let mut property = |name: &str| meta.take(&format!("helicone-property-{name}"));
    event.owner = Owner {
        team: property("team"),
        project: property("project"),
        key: None,
        app: property("app"),
        agent: property("agent"),
        environment: property("environment"),
        user: meta.take("helicone-user-id"),
    };
    for (name, value) in meta.0 {
        // Any other header of theirs may be a key or a prompt's name.
        let Some(name) = strip_prefix(&name, "helicone-property-") else { continue };
        labels.add(name, labels::plain(value).filter(|value| value.len() <= 256));
    }
    event.labels = labels.into_sorted();
    event.extra = unknown::numbers(&[log.rest(), request.rest(), response.rest()].concat());
    Ok(Told::event(event))
}

/// Whether JSON says nothing at all: an object or a list without anything in it, an empty text.
fn is_bare(json: &str) -> bool {
    json.bytes().all(|byte| b"{}[]\" \t\r\n".contains(&byte))
}

fn strip_prefix<'n>(name: &'n str, prefix: &str) -> Option<&'n str> {
    let (front, rest) = name.split_at_checked(prefix.len())?;
    front.eq_ignore_ascii_case(prefix).then_some(rest)
}

/// Headers, whose names are the same in any case.
struct Meta<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl Meta<'_> {
    fn take(&mut self, name: &str) -> Option<Text> {
        let place = self.0.iter().position(|(header, _)| header.eq_ignore_ascii_case(name))?;
        labels::loose(&labels::plain(self.0.remove(place).1)?)
    }
}

fn started(timing: &str, received_at: Instant) -> Result<Option<Instant>, Rejected> {
    let start = Object::parse(timing, "timing").ok().and_then(|mut timing| timing.inner("startTime"));
    let Some(mut start) = start else { return Ok(None) };
    let seconds = start.count("seconds")?.unwrap_or(0);
    let milliseconds = start.count("milliseconds").ok().flatten().unwrap_or(0);
    let micros =
        i64::try_from(seconds.saturating_mul(1_000_000).saturating_add(milliseconds.saturating_mul(1_000))).unwrap_or(i64::MAX);
    let wrong = |e| Rejected::new("timing.startTime", Problem::Date(e));
    Instant::from_micros(micros).as_usage_date(received_at).map(Some).map_err(wrong)
}

fn outcome_of(response: &mut Object<'_>) -> Outcome {
    let headers = response.inner("headers").map(Object::rest).unwrap_or_default();
    if Meta(headers).take("helicone-cache").is_some_and(|cache| cache.eq_ignore_ascii_case("hit")) {
        return Outcome::CacheHit;
    }
    match response.take("status").and_then(|status| status.get().parse::<i32>().ok()) {
        // Helicone's own number for a call that was given up.
        Some(-3) => Outcome::Cancelled,
        Some(..0) => Outcome::Failed,
        code => status::outcome(code.map(|code| u64::from(code.unsigned_abs()))),
    }
}

/// The model in an address, for APIs that have it there: `/models/gemini-2.5-pro:generateContent`, `/model/<id>/converse`.
fn model_in(url: &str) -> Option<&str> {
    let (_, rest) = url.split_once("/models/").or_else(|| url.split_once("/model/"))?;
    rest.split(['/', ':', '?']).next().filter(|model| !model.is_empty())
}

/// What is wanted of a provider's answer: never what it said.
#[derive(Default)]
struct Answer {
    id: Option<String>,
    model: Option<String>,
    served_by: Option<String>,
    service_tier: Option<String>,
    /// A usage block; of a stream the newest word on each field, because Anthropic tells the input first and the output last.
    usage: BTreeMap<String, String>,
}

/// Fields of a usage block, and the bytes of one of them: far beyond any real one, so that no stream makes a large one.
const MOST_FIELDS: usize = 64;
const LONGEST_FIELD: usize = 2_048;

impl Answer {
    /// Of a JSON body, of its text, or of the events of a stream, with or without `data:` in front of them.
    fn of(body: &str) -> Answer {
        let mut answer = Answer::default();
        if kind(body) == "an object" && Object::parse(body, "").is_ok() {
            answer.take(body);
        } else if kind(body) == "an array" {
            serde_json::from_str::<Vec<&RawValue>>(body)
                .unwrap_or_default()
                .into_iter()
                .for_each(|chunk| answer.take(chunk.get()));
        } else {
            let events = body.lines().map(|line| line.strip_prefix("data:").unwrap_or(line));
            events.map(str::trim).filter(|event| event.starts_with('{')).for_each(|event| answer.take(event));
        }
        answer
    }

    fn take(&mut self, json: &str) {
        let Ok(mut whole) = Object::parse(json, "") else { return };
        // Streams of Anthropic and of the Responses API have the answer one level down.
        for inside in ["message", "response"] {
            if let Some(mut inner) = whole.inner(inside) {
                self.take_fields(&mut inner);
            }
        }
        self.take_fields(&mut whole);
    }

    fn take_fields(&mut self, fields: &mut Object<'_>) {
        let mut newest = |name: &str, place: &mut Option<String>| {
            if let Some(value) = fields.loose(name) {
                *place = Some(value.to_string());
            }
        };
        newest("id", &mut self.id);
        newest("responseId", &mut self.id);
        newest("model", &mut self.model);
        newest("modelVersion", &mut self.model);
        newest("provider", &mut self.served_by);
        newest("service_tier", &mut self.service_tier);
        let usage = fields.take("usage").or(fields.take("usageMetadata"));
        for (name, value) in usage.and_then(|usage| Object::parse(usage.get(), "").ok()).map(Object::rest).unwrap_or_default() {
            let fits = value.get().len() <= LONGEST_FIELD && (self.usage.len() < MOST_FIELDS || self.usage.contains_key(&*name));
            if fits && value.get() != "null" {
                self.usage.insert(name.into_owned(), value.get().to_owned());
            }
        }
    }

    /// The usage block as JSON; nothing where there was none.
    fn block(&self) -> Option<String> {
        let field =
            |(name, value): (&String, &String)| format!("{}:{value}", serde_json::to_string(name).expect("text is always JSON"));
        let fields: Vec<String> = self.usage.iter().map(field).collect();
        (!fields.is_empty()).then(|| format!("{{{}}}", fields.join(",")))
    }

    fn read_usage(&self, provider: &str) -> Result<Read, Rejected> {
        let nothing = Read::of(Usage::Missing);
        let Some(block) = self.block() else { return Ok(nothing) };
        let keys = Object::parse(&block, "usage")?;
        let shape = match Shape::evident(&keys) {
            // Others write a cost too; only OpenRouter's is understood.
            Some(Shape::Openrouter) if provider != "openrouter" && keys.has("prompt_tokens") => Shape::OpenaiChat,
            Some(Shape::Openrouter) if provider != "openrouter" => Shape::OpenaiResponses,
            Some(shape) => shape,
            None => return Ok(nothing),
        };
        shape.read(&block, "usage")
    }
}
