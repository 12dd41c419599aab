# Redmine on a free port of loopback, with what standard input says.
#
#   bundle exec ruby serve.rb < CALLERS
#
# Reads one JSON array, `[{"login", "key", "issues": [{"subject", "minutes_ago"}]}]`, makes these users with their API keys and their
# earlier issues in one project, prints `{"port", "project", "version"}` in a line, and serves until it is ended.

require "json"
require File.join(Dir.pwd, "config", "environment")
require "rack/handler/webrick"
require "rack/lock"

PROJECT = "proof".freeze

def make_project
  Setting.rest_api_enabled = "1"
  Project.create!(name: "Proof", identifier: PROJECT, trackers: Tracker.all, enabled_module_names: ["issue_tracking"])
end

def make_user(project, caller)
  user = User.new(firstname: "A", lastname: caller["login"], mail: "#{caller["login"]}@example.com")
  user.login = caller["login"]
  user.random_password
  user.save!
  Token.create!(user: user, action: "api").update_columns(value: caller["key"])
  Member.create!(user: user, project: project, roles: [Role.givable.first])
  user
end

def make_issue(project, user, issue)
  made = Issue.create!(
    project: project, author: user, subject: issue["subject"], tracker: Tracker.first, priority: IssuePriority.default,
    status: IssueStatus.first
  )
  made.update_columns(created_on: issue["minutes_ago"].minutes.ago)
end

callers = JSON.parse($stdin.read)
ActiveRecord::Base.transaction do
  project = make_project
  callers.each do |caller|
    user = make_user(project, caller)
    caller["issues"].each { |issue| make_issue(project, user, issue) }
  end
end

# One request at a time: SQLite's driver waits for a lock without letting the thread go on that holds it.
application = Rack::Lock.new(Rails.application)
quiet = { AccessLog: [], Logger: WEBrick::Log.new($stderr, WEBrick::Log::WARN) }
Rack::Handler::WEBrick.run(application, Host: "127.0.0.1", Port: 0, **quiet) do |server|
  port = server.listeners.first.addr[1]
  puts JSON.generate(port: port, project: PROJECT, version: Redmine::VERSION::ARRAY.first(3).join("."))
  $stdout.flush
end
