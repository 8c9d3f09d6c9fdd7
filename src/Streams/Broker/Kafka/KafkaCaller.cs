using System.Collections.Concurrent;

namespace KStreamSharp;

/// <summary>A thread for calls of the client that may not return in time. What does not is left behind: no later call is made, except the last.</summary>
internal sealed class KafkaCaller
{
    private readonly BlockingCollection<Task> _calls = [];

    public KafkaCaller(string name)
    {
        new Thread(Run) { Name = name, IsBackground = true }.Start();
    }

    /// <summary>False when the call has not returned in time. What it throws is thrown here.</summary>
    public bool TryCall(Action call, TimeSpan limit)
    {
        Task made = new(call);
        _calls.Add(made);
        if (Task.WaitAny([made], limit) < 0)
        {
            return false;
        }

        made.GetAwaiter().GetResult();
        return true;
    }

    /// <summary>Ends the thread, after the call that it is in has returned and the last one has been made. Ended once, it stays so.</summary>
    public void End(Action last)
    {
        if (!_calls.IsAddingCompleted)
        {
            _calls.Add(new Task(last));
            _calls.CompleteAdding();
        }
    }

    private void Run()
    {
        foreach (Task call in _calls.GetConsumingEnumerable())
        {
            call.RunSynchronously(TaskScheduler.Default);
        }
    }
}
