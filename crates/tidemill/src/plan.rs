//! The graph, to look at.

use std::fmt::{Display, Formatter, Write};

/// A job's graph as it has been built so far: see [`crate::Job::explain`]. As text it is a line an operator.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Plan {
    nodes: Vec<Node>,
}

/// How a graph is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Drawing {
    /// A line an operator.
    Text,
    /// Graphviz's language: `dot -Tsvg` draws it.
    Graphviz,
    /// Mermaid's language, which Markdown pages draw.
    Mermaid,
}

/// One operator of a graph.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Node {
    /// What it does: `source`, `map`, `process`, `sink` and so on.
    pub kind: String,
    /// Its name, where it has one.
    pub name: Option<String>,
    /// What it reads: the places of other operators in [`Plan::nodes`].
    pub inputs: Vec<usize>,
    /// The type that its state is found by, if it has state.
    pub key: Option<String>,
    /// The type of the state of a key.
    pub state: Option<String>,
    /// The version of that type.
    pub version: u32,
    /// How it is encoded, as far as that can be told.
    pub shape: String,
    /// The type of the rows it keeps true, if it gives a collection.
    pub rows: Option<String>,
}

impl Node {
    pub(crate) fn new(kind: &str, name: Option<&str>, inputs: &[usize]) -> Self {
        let (kind, name, inputs) = (kind.to_owned(), name.map(str::to_owned), inputs.to_vec());
        Node { kind, name, inputs, key: None, state: None, version: 0, shape: String::new(), rows: None }
    }

    fn title(&self) -> String {
        self.name.as_ref().map_or_else(|| self.kind.clone(), |name| format!("{name}: {}", self.kind))
    }

    fn details(&self) -> Vec<String> {
        let each = [("by", &self.key), ("state", &self.state), ("rows", &self.rows)];
        each.into_iter().filter_map(|(what, of)| Some(format!("{what} {}", of.as_ref()?))).collect()
    }
}

impl Plan {
    /// The operators, each behind those it reads.
    pub fn nodes(&self) -> &[Node] {
        &self.nodes
    }

    pub(crate) fn add(&mut self, node: Node) -> usize {
        self.nodes.push(node);
        self.nodes.len() - 1
    }

    pub(crate) fn node(&mut self, at: usize) -> Option<&mut Node> {
        self.nodes.get_mut(at)
    }

    /// The graph as `drawing` shows it.
    pub fn draw(&self, drawing: Drawing) -> String {
        match drawing {
            Drawing::Text => self.to_string(),
            Drawing::Graphviz => self.graphviz(),
            Drawing::Mermaid => self.mermaid(),
        }
    }

    /// The graph in Graphviz's language: `dot -Tsvg` draws it. Boxes have state; what has two lines keeps rows true.
    pub fn graphviz(&self) -> String {
        let mut text = "digraph job {\n  rankdir=TB;\n  node [fontname=\"sans-serif\"];\n".to_owned();
        for (at, node) in self.nodes.iter().enumerate() {
            let label: Vec<String> =
                std::iter::once(node.title()).chain(node.details()).map(|line| escape(&line)).collect();
            let shape = match node {
                Node { rows: Some(_), .. } => "box, peripheries=2",
                Node { key: Some(_), .. } => "box",
                Node { kind, .. } if kind == "source" || kind == "sink" => "cds",
                _ => "plaintext",
            };
            // Writing to a string cannot fail.
            let _ = writeln!(text, "  n{at} [label=\"{}\", shape={shape}];", label.join("\\n"));
        }
        for (at, node) in self.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|input| _ = writeln!(text, "  n{input} -> n{at};"));
        }
        text + "}\n"
    }

    /// The graph in Mermaid's language, which Markdown pages draw. Boxes have state; what has two sides keeps rows true.
    pub fn mermaid(&self) -> String {
        let mut text = "flowchart LR\n".to_owned();
        for (at, node) in self.nodes.iter().enumerate() {
            let label: Vec<String> =
                std::iter::once(node.title()).chain(node.details()).map(|line| escape(&line)).collect();
            let (open, close) = match node {
                Node { rows: Some(_), .. } => ("[[", "]]"),
                Node { key: Some(_), .. } => ("[", "]"),
                Node { kind, .. } if kind == "source" || kind == "sink" => ("([", "])"),
                _ => ("(", ")"),
            };
            let _ = writeln!(text, "    n{at}{open}\"{}\"{close}", label.join("<br/>"));
        }
        for (at, node) in self.nodes.iter().enumerate() {
            node.inputs.iter().for_each(|input| _ = writeln!(text, "    n{input} --> n{at}"));
        }
        text
    }
}

impl Display for Plan {
    fn fmt(&self, f: &mut Formatter<'_>) -> std::fmt::Result {
        for (at, node) in self.nodes.iter().enumerate() {
            write!(f, "{at:>3}  {}", node.title())?;
            if !node.inputs.is_empty() {
                let inputs: Vec<String> = node.inputs.iter().map(usize::to_string).collect();
                write!(f, "  of {}", inputs.join(", "))?;
            }
            let details = node.details();
            let details = if details.is_empty() { String::new() } else { format!("  ({})", details.join(", ")) };
            writeln!(f, "{details}")?;
        }
        Ok(())
    }
}

/// Without what means something to those who draw.
fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('"', "&quot;").replace('<', "&lt;").replace('>', "&gt;")
}

/// A type's name without the paths to its parts: `Vec<String>`.
pub fn type_name<T>() -> String {
    let mut short = String::new();
    let mut part = String::new();
    for c in std::any::type_name::<T>().chars() {
        match c {
            ':' => part.clear(),
            c if c.is_alphanumeric() || c == '_' => part.push(c),
            c => {
                short.push_str(&std::mem::take(&mut part));
                short.push(c);
            }
        }
    }
    short + &part
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn types_are_named_without_their_paths() {
        assert_eq!(
            type_name::<(u32, Option<std::collections::BTreeMap<String, i64>>)>(),
            "(u32, Option<BTreeMap<String, i64>>)"
        );
        assert_eq!(type_name::<Plan>(), "Plan");
    }
}
