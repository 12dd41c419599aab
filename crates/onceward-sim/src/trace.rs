//! What happened in a world, in plain words, where that is asked for.

/// Lines, or nothing: a world that nobody reads writes none.
#[derive(Debug, Default)]
pub(crate) struct Trace(Option<Vec<Line>>);

#[derive(Debug)]
struct Line {
    key: Option<u8>,
    text: String,
}

impl Trace {
    pub(crate) const fn on() -> Self {
        Self(Some(Vec::new()))
    }

    pub(crate) const fn is_on(&self) -> bool {
        self.0.is_some()
    }

    pub(crate) fn write(&mut self, ms: u64, key: Option<u8>, what: &str) {
        if let Some(lines) = &mut self.0 {
            let whose = key.map(|key| format!("key {key}: ")).unwrap_or_default();
            let text = format!("{:>9.3} s  {whose}{what}", ms as f64 / 1_000.0);
            lines.push(Line { key, text });
        }
    }

    /// The lines of the last one's key, and those that concern all.
    pub(crate) fn into_lines(self) -> Vec<String> {
        let lines = self.0.unwrap_or_default();
        let key = lines.last().and_then(|last| last.key);
        let is_told = |line: &Line| key.is_none() || line.key.is_none() || line.key == key;
        lines.into_iter().filter(is_told).map(|line| line.text).collect()
    }
}

/// Writes a line, which is put together only where somebody reads it.
macro_rules! note {
    ($world:expr, $key:expr, $($text:tt)+) => {
        if $world.trace.is_on() {
            let text = format!($($text)+);
            let ms = $world.now_ms - $crate::setting::BEGIN_MS;
            $world.trace.write(ms, $key, &text);
        }
    };
}

pub(crate) use note;
