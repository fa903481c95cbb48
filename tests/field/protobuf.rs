//! Writes an export as protobuf, from what the same export is in JSON: a second way to the same bytes, so that the reader is
//! not held against itself.

use serde_json::Value;

fn varint(mut number: u64) -> Vec<u8> {
    let mut bytes = Vec::new();
    loop {
        let low = (number % 128) as u8;
        number /= 128;
        if number == 0 {
            bytes.push(low);
            return bytes;
        }
        bytes.push(low + 128);
    }
}

fn tagged(number: u64, kind: u64, payload: &[u8]) -> Vec<u8> {
    [varint(number * 8 + kind), payload.to_vec()].concat()
}

pub fn bytes(number: u64, payload: &[u8]) -> Vec<u8> {
    tagged(number, 2, &[varint(payload.len() as u64), payload.to_vec()].concat())
}

pub fn number(field: u64, number: u64) -> Vec<u8> {
    tagged(field, 0, &varint(number))
}

fn all(number: u64, list: &Value, write: impl Fn(&Value) -> Vec<u8>) -> Vec<u8> {
    list.as_array().into_iter().flatten().flat_map(|one| bytes(number, &write(one))).collect()
}

fn hex(text: &Value) -> Vec<u8> {
    let text = text.as_str().unwrap_or_default();
    (0..text.len() / 2).map(|place| u8::from_str_radix(&text[2 * place..2 * place + 2], 16).unwrap()).collect()
}

fn fixed(number: u64, text: &Value) -> Vec<u8> {
    tagged(number, 1, &text.as_str().unwrap().parse::<u64>().unwrap().to_le_bytes())
}

fn value(json: &Value) -> Vec<u8> {
    let (kind, value_of) = json.as_object().unwrap().iter().next().unwrap();
    match kind.as_str() {
        "stringValue" => bytes(1, value_of.as_str().unwrap().as_bytes()),
        "boolValue" => tagged(2, 0, &varint(u64::from(value_of.as_bool().unwrap()))),
        "intValue" => tagged(3, 0, &varint(value_of.as_str().unwrap().parse().unwrap())),
        "doubleValue" => tagged(4, 1, &value_of.as_f64().unwrap().to_le_bytes()),
        "arrayValue" => bytes(5, &all(1, &value_of["values"], value)),
        "kvlistValue" => bytes(6, &all(1, &value_of["values"], pair)),
        other => panic!("no value is {other}"),
    }
}

fn pair(json: &Value) -> Vec<u8> {
    [bytes(1, json["key"].as_str().unwrap().as_bytes()), bytes(2, &value(&json["value"]))].concat()
}

fn span(json: &Value) -> Vec<u8> {
    [
        bytes(1, &hex(&json["traceId"])),
        bytes(2, &hex(&json["spanId"])),
        bytes(5, json["name"].as_str().unwrap().as_bytes()),
        tagged(6, 0, &varint(json["kind"].as_u64().unwrap())),
        fixed(7, &json["startTimeUnixNano"]),
        fixed(8, &json["endTimeUnixNano"]),
        all(9, &json["attributes"], pair),
        bytes(15, &tagged(3, 0, &varint(json["status"]["code"].as_u64().unwrap_or(0)))),
    ]
    .concat()
}

/// The spans stand before the resource here, which is allowed and rare.
pub fn export(json: &Value) -> Vec<u8> {
    all(1, &json["resourceSpans"], |resource_spans| {
        let scope_spans = all(2, &resource_spans["scopeSpans"], |scope_spans| {
            let scope = bytes(1, scope_spans["scope"]["name"].as_str().unwrap().as_bytes());
            [all(2, &scope_spans["spans"], span), bytes(1, &scope)].concat()
        });
        [scope_spans, bytes(1, &all(1, &resource_spans["resource"]["attributes"], pair))].concat()
    })
}
