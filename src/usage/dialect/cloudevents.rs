//! CloudEvents 1.0 around a native event: `data` is the event, and the envelope's `id`, `source` and `time` stand in for
//! fields it leaves out. (source, id) is what CloudEvents calls a duplicate, and so do we.

use super::{Context, Dialect, native};
use crate::usage::UsageEvent;
use crate::usage::reading::{Object, Problem, Rejected};

pub fn read(json: &str, context: &Context) -> Result<UsageEvent, Rejected> {
    let mut envelope = Object::parse(json, "")?;
    let version = envelope.required_text("specversion")?;
    if &*version != "1.0" {
        let problem = Problem::UnknownWord { found: version.to_string(), known: vec!["1.0"] };
        return Err(envelope.wrong("specversion", problem));
    }
    let id = envelope.required_text("id")?;
    let source = envelope.required_text("source")?;
    let occurred_at = envelope.instant("time", context.received_at)?;
    let data = envelope.take("data").ok_or_else(|| envelope.wrong("data", Problem::Missing))?;
    let envelope = native::Envelope { dialect: Dialect::CloudEvents, id: Some(id), source: Some(source), occurred_at };
    native::read_in(data.get(), context, envelope)
        .map_err(|rejected| Rejected { field: format!("data.{}", rejected.field), ..rejected })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::time::Instant;

    #[test]
    fn the_envelope_stands_in_for_what_the_event_leaves_out() {
        let context = Context { received_at: Instant::parse("2026-02-03T12:00:00Z").unwrap(), source: None, strict: false };
        let sent = r#"{"specversion":"1.0","type":"usage","id":"c1","source":"//gw","time":"2026-02-03T10:00:00Z",
            "data":{"provider":"p","model":"m","usage":{"input":1}}}"#;
        let event = read(sent, &context).unwrap();
        assert_eq!((&*event.id, &*event.source, event.occurred_at.to_string().as_str()), ("c1", "//gw", "2026-02-03T10:00:00Z"));
        let own = sent.replace("\"provider\"", "\"id\":\"own\",\"provider\"");
        assert_eq!(&*read(&own, &context).unwrap().id, "own");
        let broken = sent.replace("\"input\":1", "\"input\":-1");
        assert_eq!(read(&broken, &context).unwrap_err().field, "data.usage.input");
        assert_eq!(read(&sent.replace("\"1.0\"", "\"0.3\""), &context).unwrap_err().field, "specversion");
    }
}
