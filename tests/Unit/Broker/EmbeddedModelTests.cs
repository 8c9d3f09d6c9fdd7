using CsCheck;
using Xunit;

namespace KStreamSharp.Tests;

/// <summary>Random histories of an embedded broker against a model of plain lists.</summary>
public class EmbeddedModelTests
{
    private const int Partitions = 2;

    private enum Do
    {
        Produce,
        Append,
        AppendMore,
        Commit,
        Abort,
        Positions,
        Delete,
        Hold,
        Release,
        NewWriter,
        Close,
        Kill,
    }

    [Fact]
    public void ABrokerInAFolderIsWhatItsHistorySays() =>
        Gen.Select(Gen.Enum<Do>(), Gen.Int[0, Partitions - 1], Gen.Int[0, 1]).Array[0, 60].Sample(
            steps =>
            {
                using TemporaryFolder folder = new();
                using Pair pair = new(folder.Path);
                foreach ((Do what, int partition, int writer) in steps)
                {
                    pair.Step(what, partition, writer);
                    pair.Compare();
                }
            },
            iter: 100,
            threads: 1);

    [Fact]
    public void CompactionNeverChangesWhatIsFolded() =>
        Gen.Select(Gen.Int[0, 5], Gen.Int[0, 3], Gen.Int[0, 1]).Array[0, 80].Sample(
            steps =>
            {
                using EmbeddedBroker broker = EmbeddedBroker.InMemory();
                TopicPartition topic = broker.Topic("t", TopicCleanup.Compact);
                EmbeddedWriter[] writers = [broker.Writer("0"), broker.Writer("1")];
                bool[] open = new bool[2];
                int value = 0;
                foreach ((int what, int key, int which) in steps)
                {
                    EmbeddedWriter writer = writers[which];
                    if (what <= 2)
                    {
                        if (!open[which])
                        {
                            writer.Begin();
                            open[which] = true;
                        }

                        writer.Put(topic, $"k{key}", what == 2 ? null : $"{value++}");
                    }
                    else if (what <= 4 && open[which])
                    {
                        open[which] = false;
                        if (what == 3)
                        {
                            writer.Commit();
                        }
                        else
                        {
                            writer.Abort();
                        }
                    }

                    List<(string, string?)> before = Fold(broker);
                    (long, long) ends = (broker.EndOffset(topic, true), broker.EndOffset(topic, false));
                    if (what == 5)
                    {
                        broker.Compact();
                    }

                    Assert.Equal(before, Fold(broker));
                    Assert.Equal(ends, (broker.EndOffset(topic, true), broker.EndOffset(topic, false)));
                }
            },
            iter: 200,
            threads: 1);

    private static List<(string, string?)> Fold(EmbeddedBroker broker)
    {
        Dictionary<string, string?> folded = [];
        foreach (EmbeddedRecord record in broker.ReadAll("t"))
        {
            folded[record.Key.Text()!] = record.Value.Text();
        }

        return [.. folded.Where(pair => pair.Value is not null).Select(pair => (pair.Key, pair.Value)).Order()];
    }

    /// <summary>A broker and its model, stepped together.</summary>
    private sealed class Pair(string folder) : IDisposable
    {
        private readonly List<Entry>[] _logs = [[], []];
        private readonly long[] _starts = new long[Partitions];
        private readonly bool[] _held = new bool[Partitions];
        private readonly List<Transaction> _all = [];
        private readonly Transaction?[] _open = new Transaction?[2];
        private readonly EmbeddedWriter?[] _writers = new EmbeddedWriter?[2];
        private readonly List<Entry> _unflushed = [];
        private long? _position;
        private long _positions;
        private int _folders;
        private string _folder = Path.Combine(folder, "0");
        private EmbeddedBroker? _broker;
        private int _values;

        private EmbeddedBroker Broker
        {
            get
            {
                if (_broker is null)
                {
                    _broker = EmbeddedBroker.Open(_folder);
                    _broker.CreateTopic(new TopicSpec("t", Partitions, TopicCleanup.Keep));
                }

                return _broker;
            }
        }

        public void Step(Do what, int partition, int writer)
        {
            TopicPartition at = new("t", partition);
            switch (what)
            {
                case Do.Produce:
                    Broker.Put(at, "k", Append(partition, null));
                    _unflushed.Clear();
                    break;
                case Do.Append or Do.AppendMore:
                    Transaction open = Begun(writer);
                    _writers[writer]!.Put(at, "k", Append(partition, open));
                    break;
                case Do.Positions:
                    _writers[writer] ??= Broker.Writer($"w{writer}");
                    Transaction moved = Begun(writer);
                    moved.Position = ++_positions;
                    _writers[writer]!.SendOffsets("g", [new(at with { Partition = 0 }, _positions)], EmbeddedParts.NoMember);
                    break;
                case Do.Commit when _open[writer] is { } committed:
                    _writers[writer]!.Commit();
                    End(committed, commit: true);
                    break;
                case Do.Abort when _open[writer] is { } aborted:
                    _writers[writer]!.Abort();
                    End(aborted, commit: false);
                    break;
                case Do.NewWriter:
                    _writers[writer] = Broker.Writer($"w{writer}");
                    if (_open[writer] is { } left)
                    {
                        End(left, commit: false);
                    }

                    break;
                case Do.Delete:
                    long before = (_starts[partition] + End(partition) + 1) / 2;
                    Broker.DeleteRecords(at, before);
                    _starts[partition] = before;
                    _unflushed.Clear();
                    break;
                case Do.Hold:
                    Broker.HoldMarkers(at);
                    _held[partition] = true;
                    break;
                case Do.Release:
                    Broker.ReleaseMarkers(at);
                    _held[partition] = false;
                    Mark(partition);
                    _unflushed.Clear();
                    break;
                case Do.Close:
                    Broker.Dispose();
                    Reopen();
                    break;
                case Do.Kill:
                    string killed = _folder;
                    _ = Broker;
                    _folder = Path.Combine(folder, $"{++_folders}");
                    EmbeddedParts.CopyJournal(killed, _folder);
                    Broker.Dispose();
                    foreach (List<Entry> log in _logs)
                    {
                        log.RemoveAll(_unflushed.Contains);
                    }

                    Reopen();
                    break;
            }
        }

        public void Compare()
        {
            for (int partition = 0; partition < Partitions; partition++)
            {
                TopicPartition at = new("t", partition);
                List<Entry> log = _logs[partition];
                long end = End(partition);
                long stable = Math.Max(
                    _starts[partition],
                    log.Where(entry => entry.Of is not null && !log.Exists(other => other.Value is null && other.Of == entry.Of)).Select(entry => entry.Offset).DefaultIfEmpty(end).Min());
                Assert.Equal(_starts[partition], Broker.StartOffset(at));
                Assert.Equal(end, Broker.EndOffset(at, committedOnly: false));
                Assert.Equal(stable, Broker.EndOffset(at, committedOnly: true));
                IEnumerable<Entry> kept = log.Where(entry => entry.Value is not null && entry.Offset >= _starts[partition]);
                Assert.Equal(kept.Select(entry => (entry.Offset, entry.Value)), Read(at, readCommitted: false));
                Assert.Equal(
                    kept.Where(entry => entry.Offset < stable && entry.Of?.Outcome != false).Select(entry => (entry.Offset, entry.Value)),
                    Read(at, readCommitted: true));
            }

            bool settled = Broker.TryGetCommittedOffsets("g", [new("t", 0)], out long?[] offsets);
            Assert.Equal(!_open.Any(open => open?.Position is not null), settled);
            Assert.Equal([_position], offsets);
        }

        public void Dispose() => _broker?.Dispose();

        private List<(long, string?)> Read(TopicPartition at, bool readCommitted) =>
            [.. Broker.ReadAll("t", readCommitted).Where(record => record.Partition == at.Partition).Select(record => (record.Offset, record.Value.Text()))];

        private long End(int partition) => _logs[partition].Count == 0 ? 0 : _logs[partition][^1].Offset + 1;

        private string Append(int partition, Transaction? of)
        {
            Entry entry = new(End(partition), $"{_values++}", of);
            _logs[partition].Add(entry);
            _unflushed.Add(entry);
            return entry.Value!;
        }

        private Transaction Begun(int writer)
        {
            if (_open[writer] is null)
            {
                _writers[writer] ??= Broker.Writer($"w{writer}");
                _writers[writer]!.Begin();
                _all.Add(_open[writer] = new Transaction());
            }

            return _open[writer]!;
        }

        private void End(Transaction transaction, bool commit)
        {
            transaction.Outcome = commit;
            _open[Array.IndexOf(_open, transaction)] = null;
            if (commit)
            {
                _position = transaction.Position ?? _position;
            }

            for (int partition = 0; partition < Partitions; partition++)
            {
                if (!_held[partition])
                {
                    Mark(partition);
                }
            }

            _unflushed.Clear();
        }

        /// <summary>The markers of what has ended and has records here.</summary>
        private void Mark(int partition)
        {
            List<Entry> log = _logs[partition];
            foreach (Transaction ended in _all.Where(transaction => transaction.Outcome is not null))
            {
                if (log.Exists(entry => entry.Of == ended) && !log.Exists(entry => entry.Of == ended && entry.Value is null))
                {
                    log.Add(new Entry(End(partition), null, ended));
                }
            }
        }

        private void Reopen()
        {
            _broker = null;
            Array.Clear(_writers);
            Array.Clear(_held);
            foreach (Transaction left in _open.OfType<Transaction>().ToArray())
            {
                left.Outcome = false;
            }

            Array.Clear(_open);
            for (int partition = 0; partition < Partitions; partition++)
            {
                Mark(partition);
            }

            _unflushed.Clear();
        }

        /// <summary>A record, or with a null value the end of a transaction.</summary>
        private sealed record Entry(long Offset, string? Value, Transaction? Of);

        private sealed class Transaction
        {
            public bool? Outcome { get; set; }

            public long? Position { get; set; }
        }
    }
}
