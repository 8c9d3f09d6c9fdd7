using Xunit;

namespace KStreamSharp.Tests;

public class GroupNewsTests
{
    private readonly GroupNews _news = new(static partition => partition);

    [Fact]
    public void AnAssignmentIsToldOnce()
    {
        _news.Owned.UnionWith([2, 1]);

        AssertTold(GroupEventKind.Assigned, 1, 2);
        Assert.Null(_news.Next());
    }

    [Fact]
    public void AnAssignmentThatIsTakenBackBeforeItWasToldIsNeverTold()
    {
        _news.Owned.UnionWith([1, 2]);
        _news.Take([1]);

        AssertTold(GroupEventKind.Assigned, 2);
        Assert.Null(_news.Next());
    }

    [Fact]
    public void WhatIsTakenAndGivenBackIsLostFirst()
    {
        Give(1);
        _news.Take([1]);
        _news.Owned.Add(1);

        AssertTold(GroupEventKind.Lost, 1);
        AssertTold(GroupEventKind.Assigned, 1);
        Assert.Null(_news.Next());
    }

    [Fact]
    public void WhatIsReleasedWhenAskedIsNotLost()
    {
        Give(1);
        _news.Revoking.Add(1);
        AssertTold(GroupEventKind.Revoking, 1);
        _news.Release([1]);

        Assert.Null(_news.Next());
        Assert.Empty(_news.Owned);
    }

    [Fact]
    public void ARevocationWhoseBudgetIsOverBeforeItWasToldIsALoss()
    {
        Give(1);
        _news.Revoking.Add(1);
        _news.Take([1]);

        AssertTold(GroupEventKind.Lost, 1);
        Assert.Null(_news.Next());
    }

    [Fact]
    public void WhatWasNeverToldCanBeRevokedAtOnce()
    {
        Give(1);
        _news.Owned.Add(2);
        _news.Revoking.UnionWith([1, 2]);

        Assert.Equal([2], _news.RevokingUntold);
        AssertTold(GroupEventKind.Revoking, 1);
        Assert.Null(_news.Next());
    }

    [Fact]
    public void AMemberThatIsGivenUpLosesWhatItWasToldAndNoMore()
    {
        Give(1);
        _news.Owned.Add(2);
        _news.TakeAll();

        AssertTold(GroupEventKind.Lost, 1);
        Assert.Null(_news.Next());
    }

    private void Give(int partition)
    {
        _news.Owned.Add(partition);
        AssertTold(GroupEventKind.Assigned, partition);
    }

    private void AssertTold(GroupEventKind kind, params int[] partitions)
    {
        GroupEvent? told = _news.Next();
        Assert.NotNull(told);
        Assert.Equal(kind, told.Kind);
        Assert.Equal(partitions, told.Partitions);
    }
}
