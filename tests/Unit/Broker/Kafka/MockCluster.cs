using System.Globalization;
using System.Reflection;
using System.Runtime.InteropServices;
using System.Text;
using Confluent.Kafka;

namespace KStreamSharp.Tests;

/// <summary>
/// librdkafka's own cluster inside the process: it answers any request with the errors it is told. It checks nothing itself,
/// so what a real broker does is tested elsewhere.
/// </summary>
internal sealed partial class MockCluster : IDisposable
{
    private const string Library = "librdkafka";
    private const int Producer = 0;

    private readonly nint _client;
    private readonly nint _cluster;

    static MockCluster()
    {
        // The client loads the build that fits the system; so does this.
        string folder = Path.Combine(AppContext.BaseDirectory, "runtimes", RuntimeInformation.RuntimeIdentifier, "native");
        string[] names = ["librdkafka", "centos8-librdkafka", "alpine-librdkafka"];
        NativeLibrary.SetDllImportResolver(Assembly.GetExecutingAssembly(), (wanted, assembly, search) =>
        {
            if (wanted == Library)
            {
                foreach (string name in names)
                {
                    if (NativeLibrary.TryLoad(Path.Combine(folder, name + ".so"), out nint library) || NativeLibrary.TryLoad(name, assembly, search, out library))
                    {
                        return library;
                    }
                }
            }

            return 0;
        });
    }

    public MockCluster(int brokers = 1)
    {
        byte[] error = new byte[512];
        nint configuration = NewConfiguration();
        Set(configuration, "test.mock.num.brokers", brokers.ToString(CultureInfo.InvariantCulture), error, (nuint)error.Length);
        Set(configuration, "log_level", "0", error, (nuint)error.Length);
        _client = New(Producer, configuration, error, (nuint)error.Length);
        _cluster = _client == 0 ? throw new InvalidOperationException(Encoding.UTF8.GetString(error)) : ClusterOf(_client);
        Address = Marshal.PtrToStringUTF8(Bootstraps(_cluster))!;
    }

    /// <summary>The requests that errors can be given for, by their numbers in Kafka's protocol.</summary>
    internal enum Request : short
    {
        Produce = 0,
        InitProducerId = 22,
        AddPartitionsToTxn = 24,
        AddOffsetsToTxn = 25,
        EndTxn = 26,
        TxnOffsetCommit = 28,
    }

    public string Address { get; }

    public KafkaBroker NewBroker() => new(new KafkaOptions { BootstrapServers = Address });

    public void CreateTopic(string topic) => NewTopic(_cluster, topic, 1, 1);

    /// <summary>A broker by its number, from 1; 0 or less for none.</summary>
    public void Lead(string topic, int broker) => SetLeader(_cluster, topic, 0, broker);

    /// <summary>The coordinator of a "group" or a "transaction".</summary>
    public void Coordinate(string kind, string key, int broker) => SetCoordinator(_cluster, kind, key, broker);

    public void TakeDown(int broker) => SetDown(_cluster, broker);

    public void BringUp(int broker) => SetUp(_cluster, broker);

    /// <summary>The next requests of a kind are answered with these errors, one each.</summary>
    public void Fail(Request request, params ErrorCode[] errors) => PushErrors(_cluster, (short)request, (nuint)errors.Length, [.. errors.Select(error => (int)error)]);

    public void Dispose() => Destroy(_client);

    [LibraryImport(Library, EntryPoint = "rd_kafka_conf_new")]
    private static partial nint NewConfiguration();

    [LibraryImport(Library, EntryPoint = "rd_kafka_conf_set", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int Set(nint configuration, string name, string value, byte[] error, nuint size);

    [LibraryImport(Library, EntryPoint = "rd_kafka_new")]
    private static partial nint New(int type, nint configuration, byte[] error, nuint size);

    [LibraryImport(Library, EntryPoint = "rd_kafka_destroy")]
    private static partial void Destroy(nint client);

    [LibraryImport(Library, EntryPoint = "rd_kafka_handle_mock_cluster")]
    private static partial nint ClusterOf(nint client);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_cluster_bootstraps")]
    private static partial nint Bootstraps(nint cluster);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_topic_create", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int NewTopic(nint cluster, string topic, int partitions, int replication);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_push_request_errors_array")]
    private static partial int PushErrors(nint cluster, short request, nuint count, int[] errors);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_partition_set_leader", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetLeader(nint cluster, string topic, int partition, int broker);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_coordinator_set", StringMarshalling = StringMarshalling.Utf8)]
    private static partial int SetCoordinator(nint cluster, string kind, string key, int broker);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_broker_set_down")]
    private static partial int SetDown(nint cluster, int broker);

    [LibraryImport(Library, EntryPoint = "rd_kafka_mock_broker_set_up")]
    private static partial int SetUp(nint cluster, int broker);
}
