//! `jobs`: reports and exports that are written by themselves: what became of them, and one more try.

use super::{Failure, Outcome, open};
use crate::config::Settings;
use crate::flow::deliver::{Job, all_jobs};
use crate::flow::now;
use crate::flow::report::definitions;
use crate::flow::runs::RECURRING;
use crate::store::{JobRun, RunState};
use clap::Subcommand;

#[derive(Subcommand)]
pub enum Jobs {
    /// List the jobs, when each runs next, and their last runs
    List {
        /// So many runs of each
        #[arg(long, default_value_t = 5)]
        limit: i64,
    },
    /// Run a job now for the last time that has come, unless that is done
    Run {
        name: String,
        /// For this time instead, as `farthing jobs list` shows it: 2026-11-01T06:00
        #[arg(long, value_name = "TIME")]
        at: Option<String>,
    },
}

impl Jobs {
    pub async fn run(self, settings: &Settings) -> Outcome {
        let definitions = definitions(settings.reports.as_deref()).map_err(|e| Failure::Usage(e.to_string()))?;
        let jobs = all_jobs(&definitions);
        let (farthing, org) = open(settings).await?;
        match self {
            Jobs::List { limit } => {
                if jobs.is_empty() {
                    println!("no report has a schedule, and no export is defined");
                }
                for job in &jobs {
                    println!("{}", headline(job));
                    farthing.store.runs(org, &job.name, limit).await?.iter().for_each(|run| println!("  {}", line(run)));
                }
                for name in RECURRING {
                    let runs = farthing.store.runs(org, name, limit).await?;
                    if !runs.is_empty() {
                        println!("{name}, by the service");
                        runs.iter().for_each(|run| println!("  {}", line(run)));
                    }
                }
            }
            Jobs::Run { name, at } => {
                let unknown =
                    || Failure::Usage(format!("no report or export with a schedule is called `{name}`; {}", known(&jobs)));
                let job = jobs.iter().find(|job| job.name == name).ok_or_else(unknown)?;
                let (run, is_ours) = farthing.run_by_hand(org, &settings.org, job, at.as_deref(), now()).await?;
                match run.state {
                    RunState::Done if is_ours => println!("{}", run.detail),
                    RunState::Done => println!("nothing to do: {}", line(&run)),
                    _ => return Err(Failure::Refused(line(&run))),
                }
            }
        }
        farthing.store.close().await;
        Ok(())
    }
}

fn headline(job: &Job) -> String {
    let delivery = &job.delivery;
    let next = delivery.schedule.after(now()).next().map_or_else(|| "never".to_owned(), |time| time.at.to_string());
    format!("{}  {} -> {} as {}; next {next}", job.name, delivery.schedule, delivery.destination, job.format())
}

fn line(run: &JobRun) -> String {
    let at = |instant: Option<crate::time::Instant>| instant.map_or_else(String::new, |at| at.to_string());
    let state = match run.state {
        RunState::Due => "due".to_owned(),
        RunState::Running => format!("running since {}", at(run.started_at)),
        RunState::Done => format!("done at {}", at(run.finished_at)),
        RunState::Failed => format!("failed {} times, tried again at {}", run.attempts, at(run.next_at)),
        RunState::GivenUp => format!("given up after {} attempts", run.attempts),
    };
    let detail = if run.detail.is_empty() { String::new() } else { format!(": {}", run.detail) };
    format!("{}  {state}{detail}", run.time.local)
}

fn known(jobs: &[Job]) -> String {
    let names: Vec<&str> = jobs.iter().map(|job| job.name.as_str()).collect();
    if names.is_empty() { "there is none".to_owned() } else { format!("there are {}", names.join(", ")) }
}
