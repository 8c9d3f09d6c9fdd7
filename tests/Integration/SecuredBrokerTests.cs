using Confluent.Kafka;
using Confluent.Kafka.Admin;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>A broker that asks who one is, and looks what one may: a refusal names the resource, and no password.</summary>
[Needs<DockerEngine>]
public sealed class SecuredBrokerTests(SecuredBroker broker, ITestOutputHelper output) : IClassFixture<SecuredBroker>, IDisposable
{
    /// <summary>librdkafka has it, its binding has no name for it.</summary>
    private const ResourceType TransactionalId = (ResourceType)5;

    private static readonly TimeSpan Limit = TimeSpan.FromSeconds(60);

    private readonly string _app = $"secured-{Guid.NewGuid().ToString("N")[..12]}";
    private readonly TestLogging _log = new("one", output);
    private readonly string _folder = Directory.CreateTempSubdirectory("kstream-secured-").FullName;

    public void Dispose() => Directory.Delete(_folder, recursive: true);

    [Fact]
    public async Task AWrongPasswordIsToldWithoutThePassword()
    {
        StreamException error = await Refused("user", "not-the-password");

        Assert.Equal(ExitCode.Broker, error.Code);
        Assert.StartsWith($"Kafka at {broker.Address} refuses the connection: ", error.Message, StringComparison.Ordinal);
        Assert.EndsWith("Check the security settings (KafkaOptions.Settings).", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain("not-the-password", error.ToString(), StringComparison.Ordinal);
    }

    /// <summary>What the user may do grows from case to case.</summary>
    [Theory]
    [InlineData(0, "-in' cannot be described: ", "TopicAuthorizationFailed")]
    [InlineData(2, "-shards' cannot be ", "TopicAuthorizationFailed")]
    [InlineData(3, "/application' could not be initialized: ", "TransactionalIdAuthorizationFailed")]
    [InlineData(4, "-shards\" [0] to transaction: ", "TopicAuthorizationFailed")]
    [InlineData(5, "cannot be a member of group '", "GroupAuthorizationFailed")]
    [InlineData(7, "-again.repartition\" [0] to transaction: ", "TopicAuthorizationFailed")]
    [InlineData(8, "-out\" [0] to transaction: ", "TopicAuthorizationFailed")]
    public async Task WhatIsNotAllowedIsNamed(int allowed, string resource, string code)
    {
        await Prepare(allowed);

        StreamException error = await Refused("user", SecuredBroker.UserPassword);

        Assert.Equal(ExitCode.Broker, error.Code);
        Assert.Contains($"{_app}{(resource.StartsWith("cannot", StringComparison.Ordinal) ? "" : resource)}", error.Message, StringComparison.Ordinal);
        Assert.Contains(resource, error.Message, StringComparison.Ordinal);
        Assert.Contains($"({code})", error.Message, StringComparison.Ordinal);
        Assert.DoesNotContain(SecuredBroker.UserPassword, error.ToString(), StringComparison.Ordinal);
    }

    [Fact]
    public async Task WhoMayEverythingThatIsNamedRunsToTheEnd()
    {
        await Prepare(allowed: 10);
        using StreamEngine engine = Engine(out KafkaBroker user, "user", SecuredBroker.UserPassword);
        using (user)
        {
            await engine.RunAsync(TestContext.Current.CancellationToken).WaitAsync(Limit, TestContext.Current.CancellationToken);
            Assert.True(user.StartOffset(Repartition) > 0, "what was processed is deleted");
        }

        Assert.Equal(1, engine.Status.RecordsFromInputs);
    }

    [Fact]
    public async Task WithoutTheRightToDeleteRecordsAWarningSaysSoAndTheRunGoesOn()
    {
        await Prepare(allowed: 9);
        using StreamEngine engine = Engine(out KafkaBroker user, "user", SecuredBroker.UserPassword);
        using (user)
        {
            await engine.RunAsync(TestContext.Current.CancellationToken).WaitAsync(Limit, TestContext.Current.CancellationToken);
            Assert.Equal(0, user.StartOffset(Repartition));
        }

        Assert.Equal(1, engine.Status.RecordsFromInputs);
        Assert.Contains(_log.Lines, line => line.Contains($"Records of {Repartition} below offset ", StringComparison.Ordinal) && line.Contains("cannot be deleted", StringComparison.Ordinal));
    }

    private TopicPartition Repartition => new($"{_app}-again.repartition", 0);

    /// <summary>Makes the topics and one record, and allows the first things that an application needs.</summary>
    private async Task Prepare(int allowed)
    {
        using KafkaBroker admin = new(broker.Options("admin", SecuredBroker.AdminPassword));
        admin.CreateTopic(new TopicSpec($"{_app}-in", 1, TopicCleanup.Keep));
        admin.CreateTopic(new TopicSpec($"{_app}-out", 1, TopicCleanup.Keep));
        using (OutputWriter writer = admin.CreateOutputWriter())
        {
            writer.Append(new($"{_app}-in", 0), new(1, "k"u8, true, "v"u8, true, Headers.Empty));
            writer.Flush();
        }

        (ResourceType Type, string Name, ResourcePatternType Pattern, AclOperation[] Operations)[] needed =
        [
            (ResourceType.Topic, $"{_app}-in", ResourcePatternType.Literal, [AclOperation.Read, AclOperation.DescribeConfigs]),
            (ResourceType.Topic, $"{_app}-out", ResourcePatternType.Literal, [AclOperation.Describe, AclOperation.DescribeConfigs]),
            (ResourceType.Topic, $"{_app}-", ResourcePatternType.Prefixed, [AclOperation.Create, AclOperation.Read, AclOperation.DescribeConfigs]),
            (TransactionalId, $"{_app}/", ResourcePatternType.Prefixed, [AclOperation.Write]),
            (ResourceType.Topic, $"{_app}-shards", ResourcePatternType.Literal, [AclOperation.Write]),
            (ResourceType.Group, _app, ResourcePatternType.Literal, [AclOperation.Read]),
            (ResourceType.Topic, $"{_app}-changelog", ResourcePatternType.Literal, [AclOperation.Write]),
            (ResourceType.Topic, $"{_app}-again.repartition", ResourcePatternType.Literal, [AclOperation.Write]),
            (ResourceType.Topic, $"{_app}-out", ResourcePatternType.Literal, [AclOperation.Write]),
            (ResourceType.Topic, $"{_app}-", ResourcePatternType.Prefixed, [AclOperation.Delete]),
        ];
        AclBinding[] bindings =
        [
            .. from one in needed.Take(allowed)
               from operation in one.Operations
               select new AclBinding
               {
                   Pattern = new ResourcePattern { Type = one.Type, Name = one.Name, ResourcePatternType = one.Pattern },
                   Entry = new AccessControlEntry { Principal = "User:user", Host = "*", Operation = operation, PermissionType = AclPermissionType.Allow },
               },
        ];
        if (bindings.Length > 0)
        {
            AdminClientConfig config = new(broker.Settings("admin", SecuredBroker.AdminPassword).ToDictionary()) { BootstrapServers = broker.Address };
            using IAdminClient client = new AdminClientBuilder(config).Build();
            await client.CreateAclsAsync(bindings);
        }
    }

    private StreamEngine Engine(out KafkaBroker kafka, string user, string password)
    {
        Dataflow flow = new(_app);
        flow.Input("in", Topic.Keyed($"{_app}-in", Serde.Utf8, Serde.Utf8)).Repartition("again").Output("out", Topic.Keyed($"{_app}-out", Serde.Utf8, Serde.Utf8));
        kafka = new KafkaBroker(broker.Options(user, password), new TestLogging("client", output));
        return new StreamEngine(
            flow, kafka, new StreamOptions { InstanceId = "one", StateDir = _folder, UntilEnd = true, Workers = 1, Slices = new TurnSlices { Purge = 1 } }, _log);
    }

    private async Task<StreamException> Refused(string user, string password)
    {
        using StreamEngine engine = Engine(out KafkaBroker kafka, user, password);
        using (kafka)
        {
            return await Assert.ThrowsAsync<StreamException>(() => engine.RunAsync(TestContext.Current.CancellationToken).WaitAsync(Limit, TestContext.Current.CancellationToken));
        }
    }
}

/// <summary>A broker with SASL/PLAIN and the authorizer that comes with Kafka; one for all tests of a class.</summary>
public sealed class SecuredBroker : IAsyncLifetime
{
    public const string AdminPassword = "pass-of-admin";
    public const string UserPassword = "pass-of-user";

    private OwnBroker? _broker;

    public string Address => _broker!.Address;

    public async ValueTask InitializeAsync()
    {
        _broker = await OwnBroker.Start(
            "SASL_PLAINTEXT",
            ("KAFKA_SASL_ENABLED_MECHANISMS", "PLAIN"),
            ("KAFKA_LISTENER_NAME_CLIENTS_PLAIN_SASL_JAAS_CONFIG", $"org.apache.kafka.common.security.plain.PlainLoginModule required user_admin=\"{AdminPassword}\" user_user=\"{UserPassword}\";"),
            ("KAFKA_AUTHORIZER_CLASS_NAME", "org.apache.kafka.metadata.authorizer.StandardAuthorizer"),
            ("KAFKA_SUPER_USERS", "User:admin;User:ANONYMOUS"));
        _broker.AwaitAnswer(Settings("admin", AdminPassword));
    }

    public async ValueTask DisposeAsync()
    {
        if (_broker is not null)
        {
            await _broker.DisposeAsync();
        }
    }

    internal IReadOnlyDictionary<string, string> Settings(string user, string password) => new Dictionary<string, string>
    {
        ["security.protocol"] = "SASL_PLAINTEXT",
        ["sasl.mechanism"] = "PLAIN",
        ["sasl.username"] = user,
        ["sasl.password"] = password,
    };

    internal KafkaOptions Options(string user, string password) => new() { BootstrapServers = Address, Settings = Settings(user, password) };
}
