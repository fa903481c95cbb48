//! The rules of an org as a file of their own: who bears what a source sends, and whose word counts. Read and written like
//! every other part, with every mistake by its line, and one canonical text for one meaning.

use super::fields::Fields;
use crate::catalog::Pattern;
use crate::catalog::rules::{Attribution, Rules, Taking};
use crate::usage::OwnerDimension;
use crate::usage::dialect::Dialect;
use crate::yaml::{Mistake, Node, Value, written};
use std::fmt::Write;

/// Whether a file is one of rules.
pub(super) fn is_one(file: &Fields<'_>) -> bool {
    file.has("attribution") || file.has("ranking")
}

pub(super) fn read(mut file: Fields<'_>, mistakes: &mut Vec<Mistake>) -> Rules {
    let attribution = file.list("attribution", mistakes).unwrap_or_default();
    let attribution = attribution.iter().filter_map(|node| read_attribution(node, mistakes)).collect();
    let ranking = file.texts("ranking", mistakes).into_iter().map(Pattern::of).collect();
    file.nothing_else(mistakes);
    Rules { attribution, ranking }
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
    let ranking: Vec<_> = rules.ranking.iter().map(|pattern| written(&pattern.to_string())).collect();
    if !ranking.is_empty() || rules.attribution.is_empty() {
        let _ = writeln!(yaml, "ranking: [{}]", ranking.join(", "));
    }
}
