//! Programs that are run for a step: without a shell, their output inherited, so that Ctrl-C ends them with us.

use std::{
    ffi::{OsStr, OsString},
    fmt,
    fs::File,
    io,
    path::Path,
    process::{Child, ChildStdout, Command, ExitStatus, Stdio},
};

/// One program with its arguments.
pub(crate) struct Program(Command);

/// Why a program did not do its work.
#[derive(Debug)]
pub(crate) enum ProgramError {
    /// It could not be started.
    NotStarted { program: OsString, source: io::Error },
    /// It ended with another status than 0.
    Failed { line: String, status: ExitStatus },
}

impl Program {
    pub(crate) fn new(name: impl AsRef<OsStr>, arguments: &[&str]) -> Self {
        let mut command = Command::new(name);
        command.args(arguments).stdin(Stdio::null());
        Self(command)
    }

    pub(crate) fn within(mut self, folder: &Path) -> Self {
        self.0.current_dir(folder);
        self
    }

    pub(crate) fn with(mut self, variable: &str, value: impl AsRef<OsStr>) -> Self {
        self.0.env(variable, value);
        self
    }

    /// With its output in a file.
    pub(crate) fn writing(mut self, file: &Path) -> io::Result<Self> {
        let file = File::create(file)?;
        self.0.stdout(file.try_clone()?).stderr(file);
        Ok(self)
    }

    /// Says what it runs, and runs it.
    pub(crate) fn run(mut self) -> Result<(), ProgramError> {
        eprintln!("$ {}", self.line());
        let status = self.0.status();
        self.judge(status.map(|status| (status, ()))).map(|_| ())
    }

    /// Says what it runs, runs it, and returns the code that it ended with, which its caller passes on.
    pub(crate) fn code(mut self) -> Result<u8, ProgramError> {
        eprintln!("$ {}", self.line());
        match self.0.status() {
            Ok(status) => match status.code().map(u8::try_from) {
                Some(Ok(code)) => Ok(code),
                // Ended by a signal.
                Some(Err(_)) | None => Err(ProgramError::Failed { line: self.line(), status }),
            },
            Err(source) => Err(ProgramError::NotStarted { program: self.0.get_program().to_owned(), source }),
        }
    }

    /// Says what it runs, and returns what it wrote to standard output.
    pub(crate) fn output(mut self) -> Result<Vec<u8>, ProgramError> {
        eprintln!("$ {}", self.line());
        let output = self.0.stderr(Stdio::inherit()).output();
        self.judge(output.map(|output| (output.status, output.stdout)))
    }

    /// Says what it runs, and lets it run; its standard output comes through the pipe.
    pub(crate) fn spawn(mut self) -> Result<(Child, ChildStdout), ProgramError> {
        eprintln!("$ {}", self.line());
        let program = self.0.get_program().to_owned();
        let not_started = |source| ProgramError::NotStarted { program, source };
        let mut child = match self.0.stdout(Stdio::piped()).spawn() {
            Ok(child) => child,
            Err(source) => return Err(not_started(source)),
        };
        match child.stdout.take() {
            Some(stdout) => Ok((child, stdout)),
            None => Err(not_started(io::Error::other("it has no standard output"))),
        }
    }

    /// What it writes to standard output, if it is there and succeeds. Says nothing: for looking around.
    pub(crate) fn ask(mut self) -> Option<String> {
        let output = self.0.stderr(Stdio::null()).output().ok()?;
        output.status.success().then(|| String::from_utf8_lossy(&output.stdout).into_owned())
    }

    fn judge<T>(&self, ended: io::Result<(ExitStatus, T)>) -> Result<T, ProgramError> {
        match ended {
            Ok((status, value)) if status.success() => Ok(value),
            Ok((status, _)) => Err(ProgramError::Failed { line: self.line(), status }),
            Err(source) => Err(ProgramError::NotStarted { program: self.0.get_program().to_owned(), source }),
        }
    }

    /// The program's name without its folder, and its arguments.
    fn line(&self) -> String {
        let program = Path::new(self.0.get_program());
        let name = program.file_name().unwrap_or(program.as_os_str());
        let words = std::iter::once(name).chain(self.0.get_args());
        words.map(OsStr::to_string_lossy).collect::<Vec<_>>().join(" ")
    }
}

impl fmt::Display for ProgramError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NotStarted { program, source } => {
                write!(f, "`{}` did not start: {source}", program.display())
            }
            Self::Failed { line, status } => write!(f, "`{line}` ended with {status}"),
        }
    }
}

impl std::error::Error for ProgramError {}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_failed_program_is_named_with_its_status() {
        let error = Program::new("/bin/false", &["--really"]).run().unwrap_err();
        assert_eq!(error.to_string(), "`false --really` ended with exit status: 1");
    }

    #[test]
    fn a_missing_program_is_named() {
        let error = Program::new("/nowhere/onceward-missing", &[]).run().unwrap_err();
        assert_eq!(
            error.to_string(),
            "`/nowhere/onceward-missing` did not start: No such file or directory (os error 2)"
        );
        assert_eq!(Program::new("/nowhere/onceward-missing", &[]).ask(), None);
    }

    #[test]
    fn a_code_is_passed_on() {
        assert_eq!(Program::new("/bin/true", &[]).code().unwrap(), 0);
        assert_eq!(Program::new("/bin/false", &[]).code().unwrap(), 1);
        assert!(Program::new("/nowhere/onceward-missing", &[]).code().is_err());
    }

    #[test]
    fn output_is_what_the_program_wrote() {
        assert_eq!(Program::new("printf", &["a b"]).output().unwrap(), b"a b");
    }
}
