//! `sillon bench`: the load generator for people and scripts.

pub mod progress;
mod report;
mod shape;
mod summary;

use std::fs;
use std::io::{self, Read, Write};
use std::path::{Path, PathBuf};
use std::sync::atomic::Ordering;

use clap::{Args, Subcommand};
use sillon_loadgen::null_server::Behaviour;
use sillon_loadgen::report::{Input, ReportError, render};
use sillon_loadgen::run_report::FORMAT;
use sillon_loadgen::{
    BenchReport, EmbeddedBroker, NullServer, RunError, RunOptions, RunReport, Scenario,
    ScenarioError, StartError, TargetOptions, ceiling, run, scenarios,
};

use self::progress::Line;
use self::report::ReportArgs;
use self::shape::ShapeArgs;
use crate::failure::Failure;
use crate::interruption::interruption;
use crate::output::{self, Format};

/// The process exits with 1 when a broker's answers and its log differ.
#[derive(Debug, Args)]
#[command(args_conflicts_with_subcommands = true)]
pub struct BenchArgs {
    #[command(subcommand)]
    command: Option<BenchCommand>,
    /// A scenario that comes with this program, or a TOML file; may be given several times
    /// [default: a demonstration of three, or what the flags below say]
    #[arg(long = "scenario", short, value_name = "NAME|FILE")]
    scenarios: Vec<String>,
    /// Name the scenarios that come with this program
    #[arg(long)]
    list: bool,
    /// The broker, whatever speaks Kafka's protocol [default: one is started for the run]
    #[arg(
        long,
        visible_alias = "bootstrap",
        short = 'b',
        env = "SILLON_BOOTSTRAP",
        value_name = "HOST:PORT"
    )]
    bootstrap_server: Option<String>,
    /// What reports call the broker
    #[arg(long, value_name = "TEXT")]
    name: Option<String>,
    /// The broker's process on this machine, for its processor time and memory
    #[arg(long, value_name = "PID", requires = "bootstrap_server")]
    broker_pid: Option<u32>,
    /// Where the data of the broker lies that is started; removed afterwards
    #[arg(long, value_name = "FOLDER", default_value = ".")]
    dir: PathBuf,
    /// An argument of `sillon serve` for the broker that is started; may be given several times
    #[arg(
        long = "broker-arg",
        value_name = "ARGUMENT",
        allow_hyphen_values = true
    )]
    broker_args: Vec<String>,
    #[command(flatten)]
    shape: ShapeArgs,
    /// Do not measure what the generator can do at most
    #[arg(long)]
    no_ceiling: bool,
    /// Leave the topics there
    #[arg(long)]
    keep_topics: bool,
    /// Write a log of one histogram per second, for HdrHistogram's tools (values in ns); for
    /// several scenarios their names are put behind the file's
    #[arg(long, value_name = "FILE")]
    hdr_log: Option<PathBuf>,
    /// Write a page that shows the runs
    #[arg(long, value_name = "FILE")]
    html: Option<PathBuf>,
    /// How to print what was found
    #[arg(long, value_enum, default_value_t)]
    format: Format,
    /// Answer at once and keep nothing, until standard input ends
    #[arg(long, hide = true)]
    null_server: bool,
}

#[derive(Debug, Subcommand)]
enum BenchCommand {
    /// Write a page that shows what was measured before
    Report(ReportArgs),
}

/// Why `bench` failed.
#[derive(Debug, thiserror::Error)]
pub enum BenchError {
    /// The scenario makes no sense.
    #[error(transparent)]
    Scenario(#[from] ScenarioError),
    /// The scenario's file cannot be read.
    #[error(
        "there is neither a scenario nor a file called {name} ({source}); --list names those that come with this program"
    )]
    NoScenario {
        /// As given.
        name: String,
        /// The system's words.
        source: io::Error,
    },
    /// The run could not be done.
    #[error("{name}: {source}")]
    Run {
        /// The scenario.
        name: String,
        /// Why.
        source: RunError,
    },
    /// The broker could not be started.
    #[error(transparent)]
    Start(#[from] StartError),
    /// This program does not find itself.
    #[error("cannot find this program's own file: {0}")]
    Program(#[source] io::Error),
    /// A signal's handler cannot be set, or the null server not started.
    #[error("cannot prepare: {0}")]
    Prepare(#[source] io::Error),
    /// The page cannot be written.
    #[error("cannot write {}: {source}", path.display())]
    Page {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// What was measured cannot be read.
    #[error("cannot read {}: {source}", path.display())]
    Measured {
        /// The file.
        path: PathBuf,
        /// The system's words.
        source: io::Error,
    },
    /// There is no page about what was measured.
    #[error(transparent)]
    Report(#[from] ReportError),
    /// What was claimed is not true.
    #[error("{count} of {of} runs failed their verification")]
    Verification {
        /// How many.
        count: usize,
        /// How many there were.
        of: usize,
    },
}

impl BenchArgs {
    /// Runs the scenarios and prints what was found.
    pub fn run(mut self) -> Result<(), Failure> {
        if let Some(BenchCommand::Report(args)) = self.command.take() {
            return Ok(args.run()?);
        }
        if self.null_server {
            return Ok(serve_null()?);
        }
        if self.list {
            return self.print_list();
        }
        let scenarios = self.chosen()?;
        let program = std::env::current_exe().map_err(BenchError::Program)?;
        let interrupted = interruption().map_err(BenchError::Prepare)?;
        let mut line = Line::new();
        line.say("starting");
        let embedded = match &self.bootstrap_server {
            Some(_) => None,
            None => Some(
                EmbeddedBroker::start(&program, &self.dir, &self.broker_args)
                    .map_err(BenchError::Start)?,
            ),
        };
        let target = self.target(embedded.as_ref());
        line.clear();
        if self.format == Format::Table {
            self.print_head(&target)?;
        }
        let mut ceilings = Ceilings::new(&program, self.no_ceiling);
        let mut runs = Vec::new();
        let is_one = scenarios.len() == 1;
        for scenario in &scenarios {
            if interrupted.load(Ordering::Relaxed) {
                break;
            }
            let options = RunOptions {
                histogram_log: self
                    .hdr_log
                    .as_ref()
                    .map(|path| log_path(path, scenario, is_one)),
                interrupted: interrupted.clone(),
                keeps_topics: self.keep_topics,
            };
            let failed = |source| BenchError::Run {
                name: scenario.name.clone(),
                source,
            };
            line.say(&format!(
                "{}: measuring the generator itself",
                scenario.name
            ));
            let ceiling = ceilings.of(scenario)?;
            let name = scenario.name.clone();
            let mut report = run(scenario, &target, &options, &mut |progress| {
                line.show(&name, progress);
            })
            .map_err(failed)?;
            line.clear();
            if let Some(requests_per_s) = ceiling {
                ceiling::apply(&mut report, requests_per_s);
            }
            if self.format == Format::Table {
                let mut out = io::stdout().lock();
                summary::write(&mut out, &report).map_err(Failure::Output)?;
            }
            runs.push(report);
        }
        self.conclude(runs)
    }

    fn conclude(&self, runs: Vec<RunReport>) -> Result<(), Failure> {
        let of = runs.len();
        let count = runs.iter().filter(|run| !run.verification.passed).count();
        let report = BenchReport {
            format: FORMAT,
            runs,
        };
        if self.format == Format::Json {
            let mut out = io::stdout().lock();
            output::write_json(&mut out, &report).map_err(Failure::Output)?;
        }
        if let Some(path) = &self.html {
            write_page(path, report)?;
        }
        match count {
            0 => Ok(()),
            count => Err(BenchError::Verification { count, of }.into()),
        }
    }

    /// The scenarios with what the flags change.
    fn chosen(&self) -> Result<Vec<Scenario>, BenchError> {
        let mut scenarios = match (self.scenarios.is_empty(), self.shape.is_empty()) {
            (false, _) => {
                let named = self.scenarios.iter().map(|name| scenario(name));
                named.collect::<Result<Vec<Scenario>, BenchError>>()?
            }
            (true, true) => scenarios::demonstration(),
            (true, false) => vec![Scenario {
                name: "flags".to_string(),
                description: "What the command line says".to_string(),
                ..Scenario::default()
            }],
        };
        for scenario in &mut scenarios {
            self.shape.apply(scenario);
            scenario.check()?;
        }
        Ok(scenarios)
    }

    fn target(&self, embedded: Option<&EmbeddedBroker>) -> TargetOptions {
        let name = self.name.as_deref();
        match (embedded, &self.bootstrap_server) {
            (Some(broker), _) => broker.target(name.unwrap_or("sillon")),
            (None, bootstrap) => {
                let bootstrap = bootstrap.clone().unwrap_or_default();
                TargetOptions {
                    name: name.unwrap_or(&bootstrap).to_string(),
                    bootstrap,
                    pid: self.broker_pid,
                    is_embedded: false,
                }
            }
        }
    }

    fn print_head(&self, target: &TargetOptions) -> Result<(), Failure> {
        let mut out = io::stdout().lock();
        let written = match target.is_embedded {
            true => writeln!(
                out,
                "A broker of its own at {}, data below {} (removed afterwards).",
                target.bootstrap,
                self.dir.display()
            ),
            false => writeln!(out, "The broker at {}.", target.bootstrap),
        };
        written.map_err(Failure::Output)
    }

    fn print_list(&self) -> Result<(), Failure> {
        let mut table = output::Table::new(&["SCENARIO", "WHAT"]);
        let mut rows = Vec::new();
        for (name, text) in scenarios::BUILT_IN {
            let scenario = Scenario::parse(text, name).map_err(BenchError::Scenario)?;
            table.row(vec![scenario.name.clone(), scenario.description.clone()]);
            rows.push(scenario);
        }
        output::print(self.format, &rows, table)
    }
}

/// A scenario that comes with the program, or a file.
fn scenario(name: &str) -> Result<Scenario, BenchError> {
    if let Some(known) = scenarios::named(name) {
        return Ok(known?);
    }
    let text = fs::read_to_string(name).map_err(|source| BenchError::NoScenario {
        name: name.to_string(),
        source,
    })?;
    Ok(Scenario::parse(&text, name)?)
}

fn log_path(path: &Path, scenario: &Scenario, is_one: bool) -> PathBuf {
    if is_one {
        return path.to_path_buf();
    }
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".{}", scenario.name));
    path.with_file_name(name)
}

fn write_page(path: &Path, runs: BenchReport) -> Result<(), BenchError> {
    let page = render(&[Input::Bench(runs)])?;
    fs::write(path, page).map_err(|source| BenchError::Page {
        path: path.to_path_buf(),
        source,
    })
}

/// What the generator can do at most, measured once for scenarios whose producers are alike.
struct Ceilings<'a> {
    program: &'a Path,
    is_off: bool,
    /// In a process of its own, as a broker is.
    server: Option<EmbeddedBroker>,
    known: Vec<(Scenario, f64)>,
}

impl Ceilings<'_> {
    fn new(program: &Path, is_off: bool) -> Ceilings<'_> {
        Ceilings {
            program,
            is_off,
            server: None,
            known: Vec::new(),
        }
    }

    fn of(&mut self, scenario: &Scenario) -> Result<Option<f64>, BenchError> {
        if self.is_off || scenario.produce.is_none() {
            return Ok(None);
        }
        let alike = |known: &&(Scenario, f64)| {
            known.0.records == scenario.records
                && known.0.produce == scenario.produce
                && known.0.generator == scenario.generator
        };
        if let Some((_, requests_per_s)) = self.known.iter().find(alike) {
            return Ok(Some(*requests_per_s));
        }
        let server = match &self.server {
            Some(server) => server,
            None => {
                let arguments = ["bench", "--null-server"];
                let server = EmbeddedBroker::start_program(self.program, &arguments)?;
                self.server.insert(server)
            }
        };
        let measured = ceiling::measure(scenario, &server.target("null server"));
        let measured = measured.map_err(|source| BenchError::Run {
            name: "the generator's ceiling".to_string(),
            source,
        })?;
        if let Some(requests_per_s) = measured {
            self.known.push((scenario.clone(), requests_per_s));
        }
        Ok(measured)
    }
}

/// Serves until standard input ends: with whoever started it.
fn serve_null() -> Result<(), BenchError> {
    let server = NullServer::start(Behaviour::default()).map_err(BenchError::Prepare)?;
    eprintln!("ready at {}", server.address());
    let mut nothing = [0; 64];
    let mut stdin = io::stdin().lock();
    while matches!(stdin.read(&mut nothing), Ok(count) if count > 0) {}
    Ok(())
}
