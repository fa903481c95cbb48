//! Events as other producers put them on the wire: what LiteLLM's callback posts, prompts and price map and all, and what an
//! OpenTelemetry exporter sends in protobuf. As large as the real ones, because most of the work is to skip what is not needed.

use super::sample::{ID, Random, Sample};

/// How a load is written.
#[derive(Clone, Copy, PartialEq, Eq)]
pub enum Wire {
    Native,
    Litellm,
    Otlp,
}

/// Where something stands in a body that has to be new in every request.
#[derive(Clone, Copy)]
pub enum Fresh {
    /// So many hexadecimal digits.
    Hex(usize),
    /// Sixteen bytes of a trace's id, or eight of a span's.
    Bytes(usize, usize),
}

/// A body of so many events, and what has to be renewed in it.
pub struct Body {
    pub bytes: Vec<u8>,
    pub fresh: Vec<Fresh>,
    pub path: &'static str,
    pub content_type: &'static str,
}

impl Wire {
    pub fn body(self, sample: &mut Sample, random: &mut Random, events: usize) -> Body {
        let (mut bytes, mut fresh) = (Vec::new(), Vec::new());
        match self {
            Wire::Native => {
                list(&mut bytes, events, |bytes| fresh.push(Fresh::Hex(sample.write(bytes))));
                Body { bytes, fresh, path: "/v1/events?results=problems", content_type: "application/json" }
            }
            Wire::Litellm => {
                list(&mut bytes, events, |bytes| litellm(bytes, &mut fresh, random));
                Body { bytes, fresh, path: "/v1/ingest/litellm?results=problems", content_type: "application/json" }
            }
            Wire::Otlp => {
                let mut spans = Vec::new();
                for _ in 0..events {
                    span(&mut spans, &mut fresh, random);
                }
                let resource = message(1, &[attribute("service.name", &text("assistant"))].concat());
                // The spans stand last in each message around them, so that their places are counted from the end.
                let inner = spans.len();
                bytes = message(1, &[message(1, &resource), message(2, &spans)].concat());
                let before = bytes.len() - inner;
                fresh.iter_mut().for_each(|fresh| fresh.shift(before));
                Body { bytes, fresh, path: "/v1/traces", content_type: "application/x-protobuf" }
            }
        }
    }

    /// Whether an answer says that every event was posted.
    pub fn is_success(self, answer: &[u8], events: usize) -> bool {
        match self {
            Wire::Native | Wire::Litellm => answer.starts_with(b"HTTP/1.1 20") && (events == 1 || has(answer, b"\"results\":[]")),
            Wire::Otlp => answer.starts_with(b"HTTP/1.1 200") && has(answer, b"content-length: 0"),
        }
    }

    /// The answer to a batch that was sent before.
    pub fn is_all_there(self, answer: &[u8], events: usize) -> bool {
        answer.starts_with(b"HTTP/1.1 200") && has(answer, format!("\"already_present\":{events},").as_bytes())
    }
}

fn has(answer: &[u8], what: &[u8]) -> bool {
    answer.windows(what.len()).any(|window| window == what)
}

impl Fresh {
    pub fn shift(&mut self, by: usize) {
        match self {
            Fresh::Hex(place) | Fresh::Bytes(place, _) => *place += by,
        }
    }
}

fn list(bytes: &mut Vec<u8>, events: usize, mut write: impl FnMut(&mut Vec<u8>)) {
    bytes.extend_from_slice(if events == 1 { b"" } else { b"[" });
    for place in 0..events {
        bytes.extend_from_slice(if place > 0 { b"," } else { b"" });
        write(bytes);
    }
    bytes.extend_from_slice(if events == 1 { b"" } else { b"]" });
}

/// One call as LiteLLM's standard logging payload tells it: about 12 kB, most of them what was said and the price map.
fn litellm(bytes: &mut Vec<u8>, fresh: &mut Vec<Fresh>, random: &mut Random) {
    let (prompt, cached, completion) = (1_000 + random.below(4_000), 512 * random.below(2), 20 + random.below(900));
    let (user, team) = (random.below(2_000), random.below(40));
    let said = "Please summarise the attached minutes in three sentences, and name who has to do what until when. ".repeat(45);
    let answered = "The team agreed to ship on Friday; Ann prepares the notes, Bo tells the customers. ".repeat(25);
    let limits: String = (0..60).map(|n| format!("\"limit_or_price_{n}\":{}.{:02}e-07,", n % 9, n)).collect();
    bytes.extend_from_slice(b"{\"litellm_call_id\":\"");
    fresh.push(Fresh::Hex(bytes.len()));
    bytes.extend_from_slice(&[b'0'; ID]);
    bytes.extend_from_slice(b"\",\"id\":\"chatcmpl-");
    fresh.push(Fresh::Hex(bytes.len()));
    bytes.extend_from_slice(&[b'0'; ID]);
    let rest = format!(
        "\",\"trace_id\":\"t-{user}\",\"call_type\":\"acompletion\",\"stream\":false,\"status\":\"success\",\"custom_llm_provider\":\"openai\",\
         \"saved_cache_cost\":0.0,\"startTime\":1790000000.{:06},\"endTime\":1790000001.25,\"completionStartTime\":1790000001.0,\
         \"response_time\":1.25,\"model\":\"gpt-4o-mini\",\"model_id\":\"m-7\",\"model_group\":\"fast\",\"api_base\":\"https://api.example\",\
         \"metadata\":{{\"user_api_key_hash\":\"h{user:063}\",\"user_api_key_alias\":\"key-{user}\",\"user_api_key_team_id\":\"team-{team}\",\
         \"user_api_key_team_alias\":\"Team {team}\",\"user_api_key_org_id\":null,\"user_api_key_user_id\":\"user-{user}\",\
         \"user_api_key_end_user_id\":null,\"spend_logs_metadata\":{{\"feature\":\"answers\"}},\"requester_ip_address\":\"10.0.0.1\",\
         \"usage_object\":{{\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\"total_tokens\":{},\"prompt_tokens_details\":{{\
         \"cached_tokens\":{cached},\"audio_tokens\":null,\"text_tokens\":null,\"image_tokens\":null}},\"completion_tokens_details\":{{\
         \"reasoning_tokens\":0,\"audio_tokens\":null}}}}}},\"cache_key\":null,\"cache_hit\":false,\"response_cost\":0.00051234,\
         \"total_tokens\":{},\"prompt_tokens\":{prompt},\"completion_tokens\":{completion},\"request_tags\":[\"User-Agent: python\",\"tier:gold\"],\
         \"end_user\":\"\",\"messages\":[{{\"role\":\"system\",\"content\":\"You are helpful.\"}},{{\"role\":\"user\",\"content\":\"{said}\"}}],\
         \"response\":{{\"id\":\"chatcmpl-x\",\"object\":\"chat.completion\",\"model\":\"gpt-4o-mini\",\"choices\":[{{\"index\":0,\"message\":\
         {{\"role\":\"assistant\",\"content\":\"{answered}\"}},\"finish_reason\":\"stop\"}}],\"usage\":{{\"prompt_tokens\":{prompt},\
         \"completion_tokens\":{completion},\"total_tokens\":{}}}}},\"model_parameters\":{{\"temperature\":0.2}},\"hidden_params\":{{\
         \"model_id\":\"m-7\",\"response_cost\":0.00051234,\"additional_headers\":{{}}}},\"cost_breakdown\":{{\"input_cost\":0.0002,\
         \"output_cost\":0.0003}},\"model_map_information\":{{\"model_map_key\":\"gpt-4o-mini\",\"model_map_value\":{{{limits}\"mode\":\"chat\"}}}},\
         \"error_str\":null,\"error_information\":{{\"error_code\":\"\",\"error_class\":\"\"}},\"guardrail_information\":null}}",
        random.below(1_000_000),
        prompt + completion,
        prompt + completion,
        prompt + completion,
    );
    bytes.extend_from_slice(rest.as_bytes());
}

/// One span of a call to a model, as an exporter writes it.
fn span(bytes: &mut Vec<u8>, fresh: &mut Vec<Fresh>, random: &mut Random) {
    let (prompt, completion) = (1_000 + random.below(4_000), 20 + random.below(900));
    // The two ids first, so that their places are known before the rest is.
    let ids = [field(1, &[0; 16]), field(2, &[0; 8])].concat();
    let start = 1_790_000_000_000_000_000 + random.below(1_000_000_000_000);
    let rest = [
        field(5, b"chat gpt-4o-mini"),
        [vec![7 << 3 | 1], start.to_le_bytes().to_vec()].concat(),
        [vec![8 << 3 | 1], (start + 1_250_000_000).to_le_bytes().to_vec()].concat(),
        attribute_of_span("gen_ai.operation.name", &text("chat")),
        attribute_of_span("gen_ai.provider.name", &text("openai")),
        attribute_of_span("gen_ai.request.model", &text("gpt-4o-mini")),
        attribute_of_span("gen_ai.response.model", &text("gpt-4o-mini")),
        attribute_of_span("gen_ai.usage.input_tokens", &int(prompt)),
        attribute_of_span("gen_ai.usage.cache_read.input_tokens", &int(512)),
        attribute_of_span("gen_ai.usage.output_tokens", &int(completion)),
        attribute_of_span("gen_ai.conversation.id", &text("s-4711")),
        attribute_of_span("user.id", &text(&format!("user-{}", random.below(2_000)))),
        attribute_of_span("server.address", &text("api.example")),
        attribute_of_span("gen_ai.request.temperature", &text("0.2")),
    ]
    .concat();
    let whole = message(2, &[ids, rest].concat());
    // The tag and length of the span, then the tags and lengths of its two ids.
    let inside = bytes.len() + whole.len() - length_of(&whole);
    fresh.push(Fresh::Bytes(inside + 2, 16));
    fresh.push(Fresh::Bytes(inside + 2 + 16 + 2, 8));
    bytes.extend_from_slice(&whole);
}

/// How many bytes a message's content has, by its own length.
fn length_of(message: &[u8]) -> usize {
    let (mut length, mut shift) = (0, 0);
    for byte in &message[1..] {
        length |= usize::from(byte & 0x7f) << shift;
        shift += 7;
        if byte & 0x80 == 0 {
            break;
        }
    }
    length
}

fn attribute_of_span(key: &str, value: &[u8]) -> Vec<u8> {
    message(9, &[field(1, key.as_bytes()), message(2, value)].concat())
}

fn attribute(key: &str, value: &[u8]) -> Vec<u8> {
    message(1, &[field(1, key.as_bytes()), message(2, value)].concat())
}

fn text(value: &str) -> Vec<u8> {
    field(1, value.as_bytes())
}

fn int(value: u64) -> Vec<u8> {
    [vec![3 << 3], varint(value)].concat()
}

fn message(number: u8, content: &[u8]) -> Vec<u8> {
    field(number, content)
}

fn field(number: u8, content: &[u8]) -> Vec<u8> {
    [vec![number << 3 | 2], varint(content.len() as u64), content.to_vec()].concat()
}

fn varint(mut value: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    while value >= 0x80 {
        bytes.push(value as u8 | 0x80);
        value >>= 7;
    }
    bytes.push(value as u8);
    bytes
}
