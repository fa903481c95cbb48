//! The rules of an org as a file of their own: who bears what a source sends, and whose word counts. Read and written like
//! every other part, with every mistake by its line, and one canonical text for one meaning.

use super::fields::Fields;
use crate::catalog::Pattern;
use crate::catalog::rules::{Attribution, Rules, Sharing, Taking};
use crate::usage::dialect::Dialect;
use crate::usage::{OwnerDimension, Text};
use crate::yaml::{Mistake, Node, Value, written};
use std::fmt::Write;

/// Whether a file is one of rules.
pub(super) fn is_one(file: &Fields<'_>) -> bool {
    ["attribution", "ranking", "shares", "accounts"].iter().any(|name| file.has(name))
}

pub(super) fn read(mut file: Fields<'_>, mistakes: &mut Vec<Mistake>) -> Rules {
    let attribution = file.list("attribution", mistakes).unwrap_or_default();
    let attribution = attribution.iter().filter_map(|node| read_attribution(node, mistakes)).collect();
    let shares = file.list("shares", mistakes).unwrap_or_default();
    let shares = shares.iter().filter_map(|node| read_sharing(node, mistakes)).collect();
    let cost = file.take("accounts").and_then(|(_, node)| read_accounts(node, mistakes));
    let ranking = file.texts("ranking", mistakes).into_iter().map(Pattern::of).collect();
    file.nothing_else(mistakes);
    Rules { attribution, shares, cost, ranking }
}

fn read_attribution(node: &Node<'_>, mistakes: &mut Vec<Mistake>) -> Option<Attribution> {
    let mut fields = Fields::of(node, "attribution", mistakes)?;
    let source = fields.text("source", mistakes).map_or(Pattern::Every, Pattern::of);
    let dialect = fields.word("dialect", &Dialect::ALL.map(|dialect| (dialect.name(), dialect)), mistakes);
    let note = fields.text("note", mistakes);
    let mut takes = Vec::new();
    for dimension in OwnerDimension::ALL {
        let Some((key, node)) = fields.take(dimension.name()) else { continue };
        let words: Vec<(usize, &str)> = match &node.value {
            Value::List(nodes) => nodes.iter().filter_map(|node| Some((node.line, node.scalar()?))).collect(),
            _ => node.scalar().map(|word| (key.line, word)).into_iter().collect(),
        };
        let takings = words.into_iter().filter_map(|(line, word)| {
            let taking = Taking::of_text(word);
            if taking.is_none() {
                let dimensions = OwnerDimension::ALL.map(OwnerDimension::name).join(", ");
                let what = format!(
                    "`{word}` is no place to take it from; write label:<key>, =<value>, session, source, requested_model, nobody, {dimensions}"
                );
                fields.wrong(line, dimension.name(), what, mistakes);
            }
            taking
        });
        takes.push((dimension, takings.collect()));
    }
    if takes.is_empty() {
        let what = "takes nothing; name a dimension, such as team: label:cost_center";
        fields.wrong(node.line, "", what.to_owned(), mistakes);
    }
    fields.nothing_else(mistakes);
    Some(Attribution { source, dialect, takes, note })
}

/// Which dimensions the accounts of owners' costs are made of, in their order.
fn read_accounts(node: &Node<'_>, mistakes: &mut Vec<Mistake>) -> Option<Vec<OwnerDimension>> {
    let mut fields = Fields::of(node, "accounts", mistakes)?;
    let line = fields.line_of("cost");
    let words = fields.texts("cost", mistakes);
    let mut dimensions = Vec::new();
    for word in &words {
        match OwnerDimension::named(word).filter(|dimension| !dimensions.contains(dimension)) {
            Some(dimension) => dimensions.push(dimension),
            None => {
                let known = OwnerDimension::ALL.map(OwnerDimension::name).join(", ");
                fields.wrong(line, "cost", format!("`{word}` is unknown or there twice; known are {known}"), mistakes);
            }
        }
    }
    if words.is_empty() {
        fields.wrong(node.line, "cost", "missing; write what accounts are made of, such as [team, user]".to_owned(), mistakes);
    }
    fields.nothing_else(mistakes);
    Some(dimensions)
}

fn read_sharing(node: &Node<'_>, mistakes: &mut Vec<Mistake>) -> Option<Sharing> {
    let mut fields = Fields::of(node, "shares", mistakes)?;
    let source = fields.text("source", mistakes).map_or(Pattern::Every, Pattern::of);
    let note = fields.text("note", mistakes);
    let of = named(&mut fields, mistakes);
    let line = fields.line_of("among").max(node.line);
    let mut among: Vec<(Vec<(OwnerDimension, Text)>, u32)> = Vec::new();
    for node in fields.list("among", mistakes).unwrap_or_default() {
        let Some(mut share) = Fields::of(node, "shares.among", mistakes) else { continue };
        let who = named(&mut share, mistakes);
        let parts = share.required("share", mistakes, |share, mistakes| share.count("share", mistakes));
        share.nothing_else(mistakes);
        match parts.map(u32::try_from) {
            Some(Ok(parts @ 1..=MOST_PARTS)) => among.push((who, parts)),
            Some(_) => share.wrong(node.line, "share", format!("a share is a whole number from 1 to {MOST_PARTS}"), mistakes),
            None => {}
        }
    }
    if among.len() < 2 {
        let what = "a cost is shared by two or more; write among: [{team: search, share: 3}, {team: labs, share: 1}]";
        fields.wrong(line, "among", what.to_owned(), mistakes);
    }
    let twice = among.iter().enumerate().find(|(place, (who, _))| among[..*place].iter().any(|(other, _)| other == who));
    if twice.is_some() {
        fields.wrong(line, "among", "the same owner has two shares; write one, which is as large as both".to_owned(), mistakes);
    }
    fields.nothing_else(mistakes);
    Some(Sharing { source, of, among, note })
}

/// So many parts of a whole, and so many of them together, that nothing overflows when an amount is divided.
const MOST_PARTS: u32 = 1_000_000;

/// The dimensions that are named, each with its one value.
fn named(fields: &mut Fields<'_>, mistakes: &mut Vec<Mistake>) -> Vec<(OwnerDimension, Text)> {
    let of = |dimension: OwnerDimension| fields.text(dimension.name(), mistakes).map(|text| (dimension, text));
    OwnerDimension::ALL.into_iter().filter_map(of).collect()
}

pub(super) fn write(rules: &Rules, yaml: &mut String) {
    if !rules.attribution.is_empty() {
        yaml.push_str("attribution:\n");
    }
    for rule in &rules.attribution {
        let _ = writeln!(yaml, "  - source: {}", written(&rule.source.to_string()));
        if let Some(dialect) = rule.dialect {
            let _ = writeln!(yaml, "    dialect: {}", dialect.name());
        }
        for (dimension, takings) in &rule.takes {
            let takings: Vec<_> = takings.iter().map(|taking| written(&taking.to_string())).collect();
            let _ = writeln!(yaml, "    {}: [{}]", dimension.name(), takings.join(", "));
        }
        if let Some(note) = &rule.note {
            let _ = writeln!(yaml, "    note: {}", written(note));
        }
    }
    if !rules.shares.is_empty() {
        yaml.push_str("shares:\n");
    }
    let words = |named: &[(OwnerDimension, Text)]| -> String {
        named.iter().map(|(dimension, text)| format!("{}: {}, ", dimension.name(), written(text))).collect()
    };
    for sharing in &rules.shares {
        let _ = writeln!(yaml, "  - source: {}", written(&sharing.source.to_string()));
        for (dimension, text) in &sharing.of {
            let _ = writeln!(yaml, "    {}: {}", dimension.name(), written(text));
        }
        yaml.push_str("    among:\n");
        for (who, parts) in &sharing.among {
            let _ = writeln!(yaml, "      - {{{}share: {parts}}}", words(who));
        }
        if let Some(note) = &sharing.note {
            let _ = writeln!(yaml, "    note: {}", written(note));
        }
    }
    if rules.cost.is_some() {
        let parts: Vec<_> = rules.cost().iter().map(|dimension| dimension.name()).collect();
        let _ = writeln!(yaml, "accounts:\n  cost: [{}]", parts.join(", "));
    }
    let ranking: Vec<_> = rules.ranking.iter().map(|pattern| written(&pattern.to_string())).collect();
    if !ranking.is_empty() || rules.is_empty() {
        let _ = writeln!(yaml, "ranking: [{}]", ranking.join(", "));
    }
}
