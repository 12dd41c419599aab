//! The console blocks of a page in Markdown.

/// A heading and the lines under it, up to the next heading.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Section {
    pub(super) name: String,
    pub(super) lines: Vec<Line>,
}

/// A command of a block that begins with ```` ```console ````, and what it prints.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Line {
    pub(super) command: String,
    pub(super) expected: Vec<String>,
}

impl Line {
    /// The address of the service that it starts, as it stands there; `None` where it starts none.
    pub(super) fn listening(&self) -> Option<&str> {
        self.expected.first()?.strip_prefix("listening on http://")
    }
}

/// The sections that have lines.
pub(super) fn sections(text: &str) -> Vec<Section> {
    let mut sections: Vec<Section> = Vec::new();
    let mut is_console = false;
    for line in text.lines() {
        if is_console {
            let lines = sections.last_mut().map(|section| &mut section.lines);
            match (line, line.strip_prefix("$ "), lines) {
                ("```", _, _) => is_console = false,
                (_, Some(command), Some(lines)) => {
                    lines.push(Line { command: command.to_owned(), expected: Vec::new() });
                }
                (_, None, Some(lines)) => {
                    if let Some(last) = lines.last_mut() {
                        last.expected.push(line.to_owned());
                    }
                }
                (_, _, None) => {}
            }
        } else if line == "```console" {
            is_console = true;
        } else if line.starts_with('#') {
            let name = line.trim_start_matches('#').trim().to_owned();
            sections.push(Section { name, lines: Vec::new() });
        }
    }
    sections.retain(|section| !section.lines.is_empty());
    sections
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn commands_stand_with_what_they_print_under_their_heading() {
        let text = "# Title\n\nwords\n\n## One\n\n```console\n$ a -b\nx\ny\n```\n\n```toml\n$ no\n```\n\n\
                    ### Two\n```console\n$ c\n$ d\nlistening on http://127.0.0.1:80\n```\n";
        let line = |command: &str, expected: &[&str]| Line {
            command: command.to_owned(),
            expected: expected.iter().map(|line| (*line).to_owned()).collect(),
        };
        let listens = line("d", &["listening on http://127.0.0.1:80"]);
        assert_eq!(listens.listening(), Some("127.0.0.1:80"));
        assert_eq!(line("c", &[]).listening(), None);
        let expected = [
            Section { name: "One".to_owned(), lines: vec![line("a -b", &["x", "y"])] },
            Section { name: "Two".to_owned(), lines: vec![line("c", &[]), listens] },
        ];
        assert_eq!(sections(text), expected);
    }
}
