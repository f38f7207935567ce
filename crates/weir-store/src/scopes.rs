//! Scopes: the part of the objects that a key may see and make.

use std::collections::BTreeMap;

use sqlx::types::Json;

/// Labels of which an object must carry at least one; without any, every
/// object is inside.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Scopes(Vec<(String, String)>);

impl Scopes {
    /// Everything: what start-up and a key without scopes see.
    pub fn all() -> Self {
        Scopes::default()
    }

    /// These labels.
    pub fn of(labels: Vec<(String, String)>) -> Self {
        Scopes(labels)
    }

    /// Reads labels of the shape `key:value`; gives the first that is not one.
    pub fn parse(texts: &[String]) -> Result<Self, &str> {
        let label = |text: &String| match text.split_once(':') {
            Some((key, value)) if !key.is_empty() => Some((key.to_owned(), value.to_owned())),
            _ => None,
        };
        let labels = texts
            .iter()
            .map(|text| label(text).ok_or(text.as_str()))
            .collect::<Result<_, _>>()?;
        Ok(Scopes(labels))
    }

    /// The labels as texts `key:value`.
    pub fn texts(&self) -> Vec<String> {
        self.0
            .iter()
            .map(|(key, value)| format!("{key}:{value}"))
            .collect()
    }

    /// Whether every object is inside.
    pub fn is_all(&self) -> bool {
        self.0.is_empty()
    }

    /// Whether an object with these labels is inside.
    pub fn contains(&self, labels: &BTreeMap<String, String>) -> bool {
        let carried = |(key, value): &(String, String)| labels.get(key) == Some(value);
        self.is_all() || self.0.iter().any(carried)
    }

    /// One document for each label, for `($n is null or labels @> any ($n))`
    /// with `$n` as `jsonb[]`; none when every object is inside.
    pub(crate) fn documents(&self) -> Option<Vec<Json<BTreeMap<&str, &str>>>> {
        let documents = self
            .0
            .iter()
            .map(|(key, value)| Json([(key.as_str(), value.as_str())].into()))
            .collect();
        (!self.is_all()).then_some(documents)
    }
}

#[cfg(test)]
mod tests {
    use super::Scopes;

    #[test]
    fn one_carried_label_is_enough() {
        let texts = ["team:sales".to_owned(), "env:a:b".to_owned()];
        let scopes = Scopes::parse(&texts).unwrap();
        assert_eq!(scopes.texts(), texts);
        let labels = |pairs: &[(&str, &str)]| {
            pairs
                .iter()
                .map(|(key, value)| ((*key).to_owned(), (*value).to_owned()))
                .collect()
        };
        assert!(scopes.contains(&labels(&[("team", "sales"), ("env", "x")])));
        assert!(scopes.contains(&labels(&[("env", "a:b")])));
        assert!(!scopes.contains(&labels(&[("team", "sale"), ("env", "a")])));
        assert!(!scopes.contains(&labels(&[])));
        assert!(Scopes::all().contains(&labels(&[])));
    }

    #[test]
    fn what_is_no_label_is_named() {
        for bad in ["", "team", ":sales"] {
            let texts = ["team:sales".to_owned(), bad.to_owned()];
            assert_eq!(Scopes::parse(&texts), Err(bad));
        }
    }
}
