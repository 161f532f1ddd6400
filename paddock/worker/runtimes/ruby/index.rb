# frozen_string_literal: true

# The managed Ruby runtime: what AWS's runtime client does, over the Runtime API.
#
# The process boots ahead of time and blocks on the channel until it is assigned to a function; see
# ../python/bootstrap.py for the frames. What a process reads only when it starts (RUBYOPT, LD_*) is honoured by a
# second start inside the environment.

require "json"
require "net/http"
require "stringio"

module Paddock
  ASSIGN = "A".ord
  HEADER_BYTES = 8
  TASK = "/var/task"
  READ_AT_START = /\A(RUBYOPT|RUBY_|LD_|MALLOC_)/
  EXEC_WRAPPER = "AWS_LAMBDA_EXEC_WRAPPER"
  STARTED_AGAIN = "_PADDOCK_SETTINGS"
  API_VERSION = "2018-06-01"

  # What the function is told of its event and of itself.
  class Context
    attr_reader :function_name, :function_version, :memory_limit_in_mb, :log_group_name, :log_stream_name,
                :aws_request_id, :invoked_function_arn, :deadline_ms, :client_context, :identity, :clock_diff, :tenant_id

    def initialize(headers)
      @function_name = ENV["AWS_LAMBDA_FUNCTION_NAME"]
      @function_version = ENV["AWS_LAMBDA_FUNCTION_VERSION"]
      @memory_limit_in_mb = ENV["AWS_LAMBDA_FUNCTION_MEMORY_SIZE"]
      @log_group_name = ENV["AWS_LAMBDA_LOG_GROUP_NAME"]
      @log_stream_name = ENV["AWS_LAMBDA_LOG_STREAM_NAME"]
      @aws_request_id = headers["Lambda-Runtime-Aws-Request-Id"]
      @invoked_function_arn = headers["Lambda-Runtime-Invoked-Function-Arn"]
      @deadline_ms = headers["Lambda-Runtime-Deadline-Ms"].to_i
      @client_context = parsed(headers["Lambda-Runtime-Client-Context"])
      @identity = parsed(headers["Lambda-Runtime-Cognito-Identity"])
      @tenant_id = headers["Lambda-Runtime-Aws-Tenant-Id"]
      @clock_diff = Process.clock_gettime(Process::CLOCK_REALTIME, :millisecond) -
                    Process.clock_gettime(Process::CLOCK_MONOTONIC, :millisecond)
    end

    def get_remaining_time_in_millis
      [@deadline_ms - Process.clock_gettime(Process::CLOCK_MONOTONIC, :millisecond) - @clock_diff, 0].max
    end

    private

    def parsed(text)
      text.nil? || text.empty? ? nil : JSON.parse(text)
    end
  end

  # The Runtime API, on one connection. It is inside of the sandbox: no timeout, for an event may come next year.
  class Api
    def initialize(address)
      host, port = address.split(":")
      @http = Net::HTTP.new(host, port.to_i, nil)
      @http.read_timeout = nil
      @http.keep_alive_timeout = 1 << 31
      @http.start
    end

    def next
      answer = @http.request(Net::HTTP::Get.new("/#{API_VERSION}/runtime/invocation/next"))
      abort("the Runtime API answered #{answer.code}") unless answer.code == "200"
      answer
    end

    def respond(id, body, content_type)
      post("invocation/#{id}/response", body, "Content-Type" => content_type)
    end

    def fail(id, error)
      post("invocation/#{id}/error", JSON.generate(error), "Lambda-Runtime-Function-Error-Type" => error["errorType"])
    end

    def fail_init(error)
      post("init/error", JSON.generate(error), "Lambda-Runtime-Function-Error-Type" => error["errorType"])
    end

    private

    def post(path, body, headers)
      request = Net::HTTP::Post.new("/#{API_VERSION}/runtime/#{path}", headers)
      request.body = body
      @http.request(request)
    end
  end

  module_function

  def read_exactly(channel, size)
    channel.read(size)&.then { |data| data if data.bytesize == size } or exit!(0) # Paddock is gone
  end

  # Blocks until the function is known. Reads not one byte more than that frame.
  def assignment(channel)
    size, kind, _, head_size = read_exactly(channel, HEADER_BYTES).unpack("NCCn")
    body = read_exactly(channel, size).byteslice(head_size..)
    raise "unexpected frame #{kind}" unless kind == ASSIGN

    JSON.parse(body)
  end

  # Settings that this process, which has started already, cannot honour: they need a fresh one.
  def start_again(settings)
    environment = settings["environment"]
    start_wrapper(settings) unless environment.fetch(EXEC_WRAPPER, "").empty?
    return if environment.all? { |name, value| !name.match?(READ_AT_START) || ENV[name] == value }

    again = environment.merge(STARTED_AGAIN => JSON.generate(settings))
    exec(again, RbConfig.ruby, __FILE__, unsetenv_others: true)
  end

  # See ../wrapper.py: a program of the function's own, which gets this runtime's command line.
  def start_wrapper(settings)
    wrapper = settings["environment"][EXEC_WRAPPER]
    limit_data(settings)
    Dir.chdir(TASK)
    exec(settings["environment"], wrapper, RbConfig.ruby, __FILE__, unsetenv_others: true)
  rescue SystemCallError => e
    warn("/var/runtime/bootstrap: #{wrapper}: #{e.class.new.message}")
    exit!(e.is_a?(Errno::ENOENT) || e.is_a?(Errno::ENOTDIR) ? 127 : 126) # as the shell does on Lambda
  end

  def limit_data(settings)
    limit = settings["data_bytes_max"].to_i
    Process.setrlimit(Process::RLIMIT_DATA, limit, limit) if limit.positive?
  end

  def settle(settings)
    limit_data(settings)
    ENV.replace(settings["environment"])
    Dir.chdir(TASK)
    Process.setproctitle("runtime")
    $LOAD_PATH.unshift(*ENV.fetch("RUBYLIB", "").split(":").reject(&:empty?))
    Gem.paths = { "GEM_PATH" => ENV["GEM_PATH"], "GEM_HOME" => ENV["GEM_HOME"] } if ENV["GEM_PATH"]
    $stdout.sync = $stderr.sync = true
  end

  def described(error, phase)
    { "errorMessage" => error.message, "errorType" => "#{phase}<#{error.class}>",
      "stackTrace" => (error.backtrace || []).reject { |line| line.start_with?(__FILE__) } }
  end

  # The method that `file.method` or `file.Module::Class.method` names.
  def handler(named)
    file, *owner, method = named.split(".")
    raise ArgumentError, "Invalid handler #{named}, must be of form FILENAME.METHOD or FILENAME.CLASS.METHOD" if
      method.nil? || owner.length > 1

    require "#{TASK}/#{file}"
    target = owner.empty? ? TOPLEVEL_BINDING.receiver : Object.const_get(owner.first)
    target.method(method)
  end

  def result(value)
    case value
    when StringIO, IO then [value.read, "application/unknown"]
    else [JSON.generate(value), "application/json"]
    end
  end

  # One event. True when the process may take another.
  def serve(api, function)
    event = api.next
    context = Context.new(event)
    ENV["_X_AMZN_TRACE_ID"] = event["Lambda-Runtime-Trace-Id"]
    parsed = event.body.nil? || event.body.empty? ? nil : JSON.parse(event.body)
    body, content_type = result(function.call(event: parsed, context: context))
    api.respond(context.aws_request_id, body, content_type)
    true
  rescue SystemExit, SignalException
    raise
  rescue Exception => e # rubocop:disable Lint/RescueException -- whatever a function raises is an answer
    told = described(e, "Function")
    warn("Error raised from handler method\n#{JSON.generate(told)}")
    api.fail(context.aws_request_id, told)
    e.is_a?(StandardError)
  end

  def run
    settings = ENV.delete(STARTED_AGAIN)&.then { |text| JSON.parse(text) }
    if settings.nil? && ARGV.empty? # a wrapper has started this
      settings = { "environment" => ENV.to_h, "handler" => ENV.fetch("_HANDLER") }
    elsif settings.nil?
      channel = IO.for_fd(Integer(ARGV.shift), "rb", autoclose: true)
      settings = assignment(channel)
      channel.close
      start_again(settings)
    end
    settle(settings)
    api = Api.new(ENV.fetch("AWS_LAMBDA_RUNTIME_API"))
    begin
      function = handler(settings["handler"])
    rescue SystemExit, SignalException
      raise
    rescue Exception => e # rubocop:disable Lint/RescueException -- a LoadError or SyntaxError is no StandardError
      told = described(e, "Init")
      warn("Init error when loading handler\n#{JSON.generate(told)}")
      api.fail_init(told)
      exit!(1)
    end
    nil while serve(api, function)
    exit!(1)
  end
end

Paddock.run
